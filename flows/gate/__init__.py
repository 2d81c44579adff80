"""The gate: what a run must pass to become a release, checked in a fresh process."""
