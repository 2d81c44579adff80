"""What the terminal shows: progress, notes, errors."""
