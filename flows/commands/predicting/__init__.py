"""Commands that ask a model, and that look at its answers."""
