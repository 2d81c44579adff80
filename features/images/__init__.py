"""Encoded images: how they are checked, decoded, augmented."""
