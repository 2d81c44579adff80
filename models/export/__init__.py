"""SavedModels and their signatures."""
