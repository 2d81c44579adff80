"""The model server that a demonstration starts, as ``servable serve`` does."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import UnavailableError
from flows.workspace import Workspace


@contextmanager
def serving(workspace: Workspace, *flags: str) -> Iterator[str]:
    """Serve the models of a workspace in a process of its own; yield where it listens.

    Raises:
        UnavailableError: it does not start.
    """
    command = [sys.executable, "-m", "flows", "serve", "--workspace", str(workspace.root), "--port=0"]
    log = workspace.root / "demo" / "server.log"
    with log.open("wb") as stream:
        server = subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, stderr=stream, text=True)
    try:
        yield _address(server, log)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def _address(server: subprocess.Popen, log: Path) -> str:
    """Read where the server listens from its first line."""
    line = server.stdout.readline() if server.stdout else ""
    if not line.startswith("gRPC "):
        raise UnavailableError(
            "the model server did not start", got=f"exit code {server.poll()}", todo=f"see {log}"
        )
    return line.removeprefix("gRPC ").strip()
