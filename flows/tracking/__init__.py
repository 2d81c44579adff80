"""What a training tells MLflow: written to disk first, sent in the background."""
