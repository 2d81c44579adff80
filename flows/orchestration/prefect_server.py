"""The Prefect server of this workspace, started on a free port."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from features.errors import UnavailableError
from features.storage.files import write_file
from flows.console import server_log
from flows.orchestration import kept_server
from flows.orchestration.prefect_api import _require, announced, answers, configured_api, environment
from flows.orchestration.step import log_of, set_environment
from flows.workspace import Workspace

#: How long an embedded Prefect server may take to start; a new SQLite database needs its migrations, and
#: servers that start at once wait for each other with them.
START_SECONDS = 300.0


class EmbeddedServer:
    """A Prefect server of this process's own, on the workspace's SQLite database.

    It starts in the background, so that TensorFlow can be imported meanwhile, and ends with the
    process, or once it was idle for long enough. Runs stay in the database: ``servable ui`` shows them later.

    Args:
        workspace: whose database it serves.
        port: to listen on; None for a free one.
        interface: serve the UI and schedule runs as well.
        idle: seconds without a request after which the server ends by itself; 0 for `stop` alone.
    """

    def __init__(
        self, workspace: Workspace, port: int | None = None, *, interface: bool = False, idle: float = 0
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.log = log_of(workspace)
        switches = {
            "PREFECT_SERVER_UI_ENABLED": str(interface).lower(),
            "PREFECT_UI_API_URL": self.url,
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
            # The process does so itself, one after the other.
            "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
            # The forms of blocks are for people; two servers that write them at once are in each other's way.
            "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": str(interface).lower(),
            # States of tasks are recorded together, a second later at most: one by one they take twice the
            # time, and lock the database for each.
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
            # Without a UI nobody schedules: the loops would only compete for the database.
            "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": str(interface).lower(),
            "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": str(interface).lower(),
        }
        own = [kept_server.__name__, str(self.port), str(idle), str(kept_server.file(workspace).absolute())]
        with server_log.open_log(self.log, self.url) as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *own],
                env=os.environ | environment(workspace) | switches,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the training first; it then ends the server
            )

    def wait(self) -> "EmbeddedServer":
        """Return once the server answers.

        Raises:
            UnavailableError: it ended or did not answer in time; names its log.
        """
        deadline = time.monotonic() + START_SECONDS
        while not answers(self.url):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise UnavailableError(
                    "the embedded Prefect server did not start",
                    got=f"exit code {self.process.poll()}; {server_log.explain(self.log)}",
                    todo=f"read {self.log}, or train with --local to do without Prefect",
                )
            time.sleep(0.05)
        return self

    def leave(self) -> None:
        """Let the server run on by itself."""
        # Python warns of a process that still runs when its object is collected.
        self.process.returncode = 0

    def stop(self) -> None:
        """End the server and wait for it."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    """Find a TCP port on loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def announce(workspace: Workspace, server: EmbeddedServer) -> None:
    """Record that this server stays up, so that trainings report to it instead of starting one."""
    write_file(workspace.prefect / "server.json", json.dumps({"url": server.url, "pid": server.process.pid}))


@contextmanager
def running_api(workspace: Workspace) -> Iterator[Callable[[], str]]:
    """Provide a Prefect API: the configured one, the UI's, or an embedded server.

    The embedded server is kept for the next training, and ends by itself.

    Yields:
        A function that waits for the API and returns its address. Whatever is done before it is
        called overlaps with the server's start.
    """
    set_environment(workspace)
    url = configured_api() or announced(workspace) or kept_server.address(workspace)
    idle = kept_server.idle_seconds()
    server = None if url else EmbeddedServer(workspace, idle=idle)

    used = False

    def ready() -> str:
        nonlocal used
        address = url or server.wait().url  # type: ignore[union-attr]
        _require(address)
        used = True
        return address

    try:
        with kept_server.awake(url or server.url) if idle else nullcontext():  # type: ignore[union-attr]
            yield ready
    finally:
        if server:
            server.leave() if idle and used else server.stop()


@contextmanager
def kept_api(workspace: Workspace) -> Iterator[None]:
    """Keep one embedded server up for several runs, where no API is configured or up already."""
    set_environment(workspace)
    if configured_api() or announced(workspace):
        yield
        return
    server = EmbeddedServer(workspace)
    try:
        announce(workspace, server.wait())
        yield
    finally:
        (workspace.prefect / "server.json").unlink(missing_ok=True)
        server.stop()
