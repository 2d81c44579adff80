"""Find out why a served model answers otherwise than its training did."""
