"""A Prefect server that outlives the training that started it, and ends by itself once it is idle.

A training after the next edit of a setting then finds a server that is up already. The process runs
``python -m flows.orchestration.kept_server PORT SECONDS FILE``; FILE holds its address while it runs. With 0
seconds it serves until it is ended, and has no such file.
"""

import contextlib
import importlib.metadata
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from features.storage.files import write_file
from flows.orchestration import prefect_database
from flows.orchestration.prefect_api import answers
from flows.workspace import Workspace

if TYPE_CHECKING:
    import uvicorn

#: Seconds without a request after which the server ends; 0: with the training that started it.
IDLE = "SERVABLE_PREFECT_IDLE_SECONDS"
IDLE_SECONDS = 600.0
#: Seconds between two looks at whether the server is idle.
LOOK_SECONDS = 1.0


def idle_seconds() -> float:
    """Return how long a server is kept after the last request; 0: not at all."""
    try:
        return max(0.0, float(os.environ.get(IDLE, IDLE_SECONDS)))
    except ValueError:
        return IDLE_SECONDS


def file(workspace: Workspace) -> Path:
    """Return the file that holds the address of a workspace's kept server."""
    return workspace.prefect / "kept-server.json"


def address(workspace: Workspace) -> str | None:
    """Return the address of the kept server if it runs this version of Prefect and answers, or None."""
    try:
        kept = json.loads(file(workspace).read_text())
        os.kill(kept["pid"], 0)
        same = kept["version"] == _version()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kept["url"] if same and answers(kept["url"]) else None


@contextmanager
def awake(url: str) -> Iterator[None]:
    """Keep a server from being idle for as long as the body runs: a step may be silent for hours."""
    done = threading.Event()

    def ask() -> None:
        while not done.wait(max(0.1, idle_seconds() / 4)):
            answers(url)

    thread = threading.Thread(target=ask, name="kept-server", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def main(port: int, seconds: float, path: Path) -> None:
    """Serve until there was no request for so many seconds (0: for ever), or the file's folder is gone."""
    import uvicorn

    prefect_database.migrate(path.parent)

    config = uvicorn.Config(
        "prefect.server.api.server:create_app",
        factory=True,
        host="127.0.0.1",
        port=port,
        log_level="warning",
    )
    server = uvicorn.Server(config)
    if not seconds:
        server.run()
        return
    threading.Thread(target=_end_when_idle, args=(server, seconds, path), daemon=True).start()
    own = {"url": f"http://127.0.0.1:{port}/api", "pid": os.getpid(), "version": _version()}
    write_file(path, json.dumps(own))
    try:
        server.run()
    finally:
        _withdraw(path)


def _end_when_idle(server: "uvicorn.Server", seconds: float, path: Path) -> None:
    while not server.started:  # a new database takes long
        time.sleep(0.1)
    requests, last = 0, time.monotonic()
    while time.monotonic() - last < seconds and path.parent.is_dir():
        time.sleep(min(LOOK_SECONDS, seconds))
        if server.server_state.total_requests != requests:
            requests, last = server.server_state.total_requests, time.monotonic()
    server.should_exit = True
    # A client that went away without a word keeps a connection open.
    time.sleep(10)
    server.force_exit = True


def _withdraw(path: Path) -> None:
    """Remove the address, unless another server has put its own in the place."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        if json.loads(path.read_text())["pid"] == os.getpid():
            path.unlink()


def _version() -> str:
    return importlib.metadata.version("prefect")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))
