"""Commands about the versions of a model."""
