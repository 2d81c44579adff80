"""Architectures, tasks, the training loop and the export of SavedModels."""
