"""Tables as sources: how they are written, their columns and rows."""
