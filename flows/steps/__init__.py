"""The steps of a training, each one call into another room."""
