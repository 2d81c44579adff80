"""What ingest writes and everybody reads: datasets, corpora, splits, cached features, batches."""
