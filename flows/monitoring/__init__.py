"""Live inputs and answers of a published model against its training examples."""
