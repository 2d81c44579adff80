"""The paths of three people, from a fresh clone to an answer: ``make walk``, outside ``make test``."""
