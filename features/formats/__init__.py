"""File formats, detected by content."""
