"""The steps of tasks that take their own way: galleries and word vectors."""
