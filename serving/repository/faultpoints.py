"""Named points at which a rehearsed failure can strike.

``fault("publish.before_rename")`` does nothing unless two things are there: the environment variable
``SERVABLE_FAULT`` (as ``publish.before_rename:kill``) and the file that ``SERVABLE_FAULT_FLAG`` names.
A stray variable alone therefore never harms a production publisher.

Actions: ``kill`` (the process dies as by ``kill -9``), ``raise`` (RuntimeError), ``enospc`` (disk full),
``sleep`` (``point:sleep:seconds``).
"""

import errno
import os
import signal
import time
from pathlib import Path

#: Every point, in the order a publisher meets them.
POINTS = (
    "publish.after_claim",
    "publish.after_copy",
    "publish.after_manifest",
    "publish.after_fsync",
    "publish.before_rename",
    "publish.after_rename",
    "publish.after_record",
    "publish.before_config",
)

#: Every point between the records of one move of a label.
MOVE_POINTS = ("move.after_record", "move.before_alias", "move.after_alias")


def fault(point: str) -> None:
    """Strike here if this point is armed; ``point`` is one of ``POINTS`` or ``MOVE_POINTS``."""
    armed = os.environ.get("SERVABLE_FAULT")
    if not armed or not Path(os.environ.get("SERVABLE_FAULT_FLAG") or "/nonexistent").is_file():
        return
    name, _, action = armed.partition(":")
    if name == point:
        _strike(point, action)


def _strike(point: str, action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), point)
    elif action.startswith("sleep"):
        time.sleep(float(action.partition(":")[2] or 1))
    else:
        raise RuntimeError(f"rehearsed failure at {point}")
