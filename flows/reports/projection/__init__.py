"""The interactive map of a collection: one page with its script."""
