"""Run the MLflow and Prefect UIs on loopback until Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
import urllib.request

from features.errors import UnavailableError
from flows import orchestration, terminal
from flows.workspace import Workspace


def run(workspace: Workspace, *, mlflow_port: int, prefect_port: int) -> None:
    """Start both servers, print their addresses and wait; ends both on Ctrl-C or SIGTERM.

    Raises:
        UnavailableError: one of them ended or did not answer.
    """
    os.environ.update(orchestration.environment(workspace))
    prefect = orchestration.EmbeddedServer(workspace, prefect_port, interface=True)
    mlflow, mlflow_url = _start_mlflow(workspace, mlflow_port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        terminal.note("starting both servers ...")
        prefect.wait()
        orchestration.announce(workspace, prefect)
        _wait_for(mlflow, mlflow_url, workspace)
        print(f"MLflow   {mlflow_url}", f"Prefect  {prefect.url.removesuffix('/api')}", sep="\n", flush=True)
        terminal.note("Ctrl-C ends both")
        while prefect.process.poll() is None and mlflow.poll() is None:
            time.sleep(0.2)
        raise UnavailableError(
            "a UI server ended",
            got=f"exit codes: Prefect {prefect.process.poll()}, MLflow {mlflow.poll()}",
            todo=f"read {prefect.log} and {_log(workspace)}",
        )
    except KeyboardInterrupt:
        terminal.note("ending both servers")
    finally:
        _stop(mlflow)
        prefect.stop()


def _log(workspace: Workspace) -> str:
    return str(workspace.root / "mlflow-server.log")


def _start_mlflow(workspace: Workspace, port: int) -> tuple[subprocess.Popen, str]:
    from flows import tracking

    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    store = ["--backend-store-uri", tracking.default_uri(workspace), "--workers", "1"]
    artefacts = ["--default-artifact-root", (workspace.mlruns / "artifacts").as_uri()]
    with open(_log(workspace), "ab") as log:
        process = subprocess.Popen(
            [*command, *store, *artefacts],
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "DO_NOT_TRACK": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return process, f"http://127.0.0.1:{port}"


def _wait_for(process: subprocess.Popen, url: str, workspace: Workspace) -> None:
    deadline = time.monotonic() + orchestration.START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):  # noqa: S310
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise UnavailableError(
                    "the MLflow UI did not start",
                    got=f"exit code {process.poll()}",
                    todo=f"read {_log(workspace)}; is another program on port {url.rpartition(':')[2]}?",
                ) from None
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
