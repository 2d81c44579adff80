"""Answers as columns, pictures and pages."""
