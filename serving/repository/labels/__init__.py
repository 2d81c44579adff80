"""Which version each label of a model names: by its history, in an object store, in models.config."""
