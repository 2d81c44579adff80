"""Commands that train, and that show what was trained."""
