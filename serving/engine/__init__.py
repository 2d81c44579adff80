"""Models in memory: which versions, batches, threads."""
