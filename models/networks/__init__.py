"""Architectures, and how they are put together."""
