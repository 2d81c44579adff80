"""Predict, Classify, Regress, MultiInference and warm-up."""
