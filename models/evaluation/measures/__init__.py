"""Metrics, one file per kind of target."""
