"""The report of a run: sections from plain data, one self-contained page."""
