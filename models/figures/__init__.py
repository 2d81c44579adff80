"""The figures of a report, by matplotlib."""
