"""Files of a source and their candidates: folders, names in tables, files beside the examples."""
