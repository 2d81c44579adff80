"""Requests, plans, recipes, run folders and releases."""
