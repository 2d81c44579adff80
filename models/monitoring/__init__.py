"""What live inputs and answers look like, and whether that has drifted from the training examples."""
