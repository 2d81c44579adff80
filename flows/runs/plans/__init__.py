"""From a request to a plan: tasks, recipes and settings."""
