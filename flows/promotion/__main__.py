"""``python -m flows.promotion WORKSPACE``: watch beside a server, until standard input ends with it."""

import os
import sys
import threading
from pathlib import Path


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main(root: str) -> None:
    """Watch the models of a workspace."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from flows.console import terminal
    from flows.promotion.watch import Watch
    from flows.workspace import Workspace

    Watch(Workspace.open(Path(root)), None, terminal.note).run()


if __name__ == "__main__":
    main(sys.argv[1])
