"""Search for better settings of a recipe on the validation split."""
