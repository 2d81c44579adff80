"""The training loop: deterministic, resumable."""
