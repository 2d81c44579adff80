"""Image search and clustering: the index, the groups, their signatures."""
