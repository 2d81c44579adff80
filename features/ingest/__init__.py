"""From a source to a dataset: examine, decode, resolve copies, split, write."""
