"""Answers that are sequences, in the graph: transcripts, notes, sentences."""
