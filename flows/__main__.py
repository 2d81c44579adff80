"""``python -m flows``: the servable command."""

from flows.cli import main

main()
