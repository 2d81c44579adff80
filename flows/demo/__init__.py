"""Demonstrations on data that come with the package."""
