"""Raw data to tensors: sources, validation, quarantine, featurizers and the one input pipeline."""
