"""Networks of texts, and those that write one."""
