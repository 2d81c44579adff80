"""Requests that share a run of their model: as parameters say, or while the model is busy."""
