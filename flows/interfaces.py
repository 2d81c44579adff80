"""Show the MLflow and Prefect UIs: those that are configured, else on loopback until Ctrl-C."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from features.errors import UnavailableError
from flows.console import server_log, terminal
from flows.console.redaction import mask
from flows.orchestration import addresses, prefect_api, prefect_server, step
from flows.tracking import tracking
from flows.workspace import Workspace

#: How often the logs of the servers are looked at.
WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class Interface:
    """One UI.

    Attributes:
        name: of the product.
        page: its address.
        server: the process that serves it; None for one that somebody else runs.
        log: of the server.
        wait: returns once it answers; raises UnavailableError where it does not.
        stop: ends the server.
    """

    name: str
    page: str
    server: subprocess.Popen | None = None
    log: Path | None = None
    wait: Callable[[], object] = lambda: None
    stop: Callable[[], None] = lambda: None


def run(workspace: Workspace, *, mlflow_port: int, prefect_port: int) -> None:
    """Start the servers that are not configured elsewhere, print both addresses and wait.

    Ends what it started on Ctrl-C or SIGTERM; returns at once where it started nothing.

    Raises:
        ConfigError: MLFLOW_TRACKING_URI or PREFECT_API_URL cannot work.
        UnavailableError: a server ended or did not answer.
    """
    uri = tracking.tracking_uri(workspace)
    step.set_environment(workspace)
    api = prefect_api.configured_api()
    interfaces: list[Interface] = []
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        interfaces.append(_prefect(workspace, api, prefect_port))
        interfaces.append(_mlflow(workspace, uri, mlflow_port))
        started = [one for one in interfaces if one.server]
        if started:
            terminal.note(f"starting {' and '.join(one.name for one in started)} ...")
        for one in interfaces:
            one.wait()
        for one in reversed(interfaces):
            print(f"{one.name:9}{one.page}", flush=True)
        if started:
            terminal.note("press Ctrl-C to stop")
            _watch(started)
    except KeyboardInterrupt:
        terminal.note("stopping")
    finally:
        for one in reversed(interfaces):
            one.stop()
        signal.signal(signal.SIGTERM, before)


def logs(workspace: Workspace) -> list[Path]:
    """List the logs of the servers that are started on a workspace."""
    return [step.log_of(workspace), _mlflow_log(workspace)]


def answers(url: str) -> bool:
    """Return whether an MLflow server responds at this address."""
    try:
        with urllib.request.urlopen(f"{addresses.without_userinfo(url)}/health", timeout=2):  # noqa: S310
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500  # it wants to know who asks
    except (OSError, http.client.HTTPException):
        return False


def _mlflow_log(workspace: Workspace) -> Path:
    return workspace.root / "mlflow-server.log"


def _watch(interfaces: list[Interface]) -> None:
    """Report errors in the logs of the servers until one of them exits."""
    watches = [server_log.Watch(one.log) for one in interfaces if one.log]
    for watch in watches:
        watch.tell_last(terminal.note)
    due = time.monotonic() + WATCH_SECONDS
    while all(one.server and one.server.poll() is None for one in interfaces):
        time.sleep(0.2)
        if time.monotonic() > due:
            due = time.monotonic() + WATCH_SECONDS
            for watch in watches:
                watch.tell_fresh(terminal.note)
    codes = ", ".join(f"{one.name} {one.server.poll()}" for one in interfaces if one.server)
    said = "; ".join(f"{one.name}: {server_log.explain(one.log)}" for one in interfaces if one.log)
    raise UnavailableError(
        "a UI server exited",
        got=f"exit codes: {codes}; {said}",
        todo=f"see {' and '.join(str(one.log) for one in interfaces)}",
    )


def _prefect(workspace: Workspace, api: str | None, port: int) -> Interface:
    if api:
        return _elsewhere("Prefect", step.page(api), addresses.API, prefect_api.answers(api))
    _require_free(port, "Prefect", "--prefect-port")
    server = prefect_server.EmbeddedServer(workspace, port, interface=True)

    def wait() -> None:
        server.wait()
        prefect_server.announce(workspace, server)

    page = server.url.removesuffix("/api")
    return Interface("Prefect", page, server.process, server.log, wait, server.stop)


def _mlflow(workspace: Workspace, uri: str, port: int) -> Interface:
    if addresses.is_server(uri):
        return _elsewhere("MLflow", mask(uri), addresses.TRACKING, answers(uri))
    _require_free(port, "MLflow", "--mlflow-port")
    process, url = _start_mlflow(workspace, uri, port)
    log = _mlflow_log(workspace)
    return Interface(
        "MLflow", url, process, log, lambda: _wait_for(process, url, log), lambda: _stop(process)
    )


def _require_free(port: int, name: str, option: str) -> None:
    """Refuse a port that another program has: its answers would be taken for those of our server."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UnavailableError(
                f"cannot listen on the port of {name}'s UI",
                got=f"port {port}: {error.strerror}",
                todo=f"stop the program that uses it (another servable ui?), or change it with {option}",
            ) from error


def _elsewhere(name: str, page: str, variable: str, answering: bool) -> Interface:
    if not answering:
        terminal.note(f"{name} at {page} does not respond: start it, or unset {variable} to start one here")
    return Interface(name, page)


def _start_mlflow(workspace: Workspace, uri: str, port: int) -> tuple[subprocess.Popen, str]:
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    artifacts = ["--default-artifact-root", (workspace.mlruns / "artifacts").as_uri(), "--workers", "1"]
    # The store goes by the environment: an argument shows its password to every user of the machine.
    settings = {
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "DO_NOT_TRACK": "1",
    }
    with server_log.open_log(_mlflow_log(workspace), url) as log:
        process = subprocess.Popen(
            [*command, *artifacts],
            env=os.environ | settings,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return process, url


def _wait_for(process: subprocess.Popen, url: str, log: Path) -> None:
    deadline = time.monotonic() + prefect_server.START_SECONDS
    while not answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise UnavailableError(
                "the MLflow UI did not start",
                got=f"exit code {process.poll()}; {server_log.explain(log)}",
                todo=f"see {log}; is port {url.rpartition(':')[2]} in use?",
            )
        time.sleep(0.1)


def _stop(process: subprocess.Popen) -> None:
    # MLflow's server starts workers of its own: its whole session ends with it.
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
