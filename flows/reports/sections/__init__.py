"""The sections that the report of a task is made of."""
