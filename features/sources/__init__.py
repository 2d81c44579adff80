"""What ingest reads: folders, tables, lines of text, archives."""
