"""Orchestration: the only room that knows Prefect and MLflow, and the only one that knows all the others."""
