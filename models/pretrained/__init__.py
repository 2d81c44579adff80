"""Backbones and vectors from elsewhere: TF-Hub, keras.applications, releases, files."""
