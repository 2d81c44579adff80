"""The model repository on disk: publish, claim, keep, roll back."""
