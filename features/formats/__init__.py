"""What files are, told by their bytes."""
