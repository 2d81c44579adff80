"""Word vectors: training, loss, signatures."""
