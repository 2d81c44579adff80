"""Scheduled trainings: deployments and the worker that runs them."""
