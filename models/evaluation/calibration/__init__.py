"""Numbers chosen on the validation split after training."""
