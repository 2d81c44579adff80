"""What a model is worth on a split: metrics and their uncertainty."""
