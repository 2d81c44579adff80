"""What a training logs to MLflow: written to disk first, sent in the background."""
