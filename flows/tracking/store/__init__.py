"""What is written to MLflow: runs, models, tags and aliases."""
