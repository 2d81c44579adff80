"""Inputs as a person names them, read and brought into the form of a request."""
