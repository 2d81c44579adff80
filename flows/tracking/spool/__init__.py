"""Events on disk until MLflow has them."""
