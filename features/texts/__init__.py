"""Texts: how they are checked, cut into tokens and turned into numbers."""
