"""Sounds: how they are checked, converted, turned into windows of features, augmented."""
