"""What every process needs that serves: its logs, what it keeps quiet, why it cannot listen, how it ends."""
