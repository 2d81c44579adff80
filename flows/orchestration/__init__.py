"""Prefect: steps, artifacts, the server. The only folder that imports it."""
