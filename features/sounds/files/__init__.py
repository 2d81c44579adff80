"""Sound files of any format: their chunks, their codecs, their samples."""
