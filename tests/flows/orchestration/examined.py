"""A module that examines: ``python -m tests.flows.orchestration.examined``."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.orchestration import forks


def examine(request: dict[str, Any], wait: Callable[[], object]) -> dict[str, Any]:
    """Do what the request says, and tell where that was."""
    print("examining", request["do"])
    if request["do"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if request["do"] == "fail":
        raise ValueError("of no use")
    if request["do"] == "stay":
        Path(request["pid"]).write_text(str(os.getpid()))
        signal.pause()
    wait()
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "directory": str(Path.cwd()),
        "word": os.environ.get("WORD"),
        "ready": "ready" in request and Path(request["ready"]).is_file(),
    }


if __name__ == "__main__":
    forks.answer_requests(examine)
