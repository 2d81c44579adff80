"""What a report is made of: a page, its media, what the sections are given."""
