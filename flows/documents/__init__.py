"""What a release says of itself: the model card and the provenance statement."""
