"""Models trained elsewhere: checked in a fresh process, and published as our own are."""
