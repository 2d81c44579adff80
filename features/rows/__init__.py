"""Rows of tables: how they are checked and turned into numbers."""
