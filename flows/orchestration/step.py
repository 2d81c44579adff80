"""Run flows and steps under Prefect, or without it; flows/schedules.py and flows/worker.py build on it.

Prefect calls a unit of work a task; here it is a step, so that Task keeps one meaning. Steps return
references (paths, fingerprints, run ids) and are idempotent: their output folders are named by the
fingerprint of their inputs. Prefect's own result cache is therefore off; results are persisted as
JSON so that the UI can show them.
"""

import functools
import http.client
import json
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from features.errors import TemporaryError, UnavailableError
from flows import addresses
from flows.console import redaction, server_log
from flows.workspace import Workspace, write_atomically

#: Errors worth a second attempt; every other one gives the same answer again.
RETRIABLE = (UnavailableError, TemporaryError)

#: How long an embedded Prefect server may take to start; a new SQLite database needs its migrations.
START_SECONDS = 120.0


def step(
    name: str,
    *,
    run_name: str | Callable[..., str] | None = None,
    retries: int = 0,
    retry_delay_seconds: float = 5.0,
) -> Callable[[Callable], Callable]:
    """Make a function a step: a Prefect task inside a flow run, a plain call anywhere else.

    Args:
        name: what the step is called in the Prefect UI.
        run_name: the run's name: a template over the function's arguments, or a function of them.
        retries: further attempts after an error of RETRIABLE.
        retry_delay_seconds: pause before each of them.
    """

    def decorate(function: Callable) -> Callable:
        @functools.cache
        def as_task() -> Callable:
            import prefect
            from prefect.cache_policies import NO_CACHE

            return prefect.task(
                function,
                name=name,
                task_run_name=_from_arguments(run_name) if callable(run_name) else run_name,
                retries=retries,
                retry_delay_seconds=retry_delay_seconds,
                retry_condition_fn=_worth_a_retry,
                cache_policy=NO_CACHE,
                persist_result=True,
                result_serializer="json",
            )

        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            return (as_task() if in_flow_run() else function)(*arguments, **options)

        return call

    return decorate


def _from_arguments(run_name: Callable[..., str]) -> Callable[[], str]:
    def name() -> str:
        from prefect.runtime import task_run

        return run_name(**task_run.parameters)

    return name


def _worth_a_retry(task: Any, task_run: Any, state: Any) -> bool:
    try:
        state.result()
    except RETRIABLE:
        return True
    except BaseException:
        return False
    return False


def in_flow_run() -> bool:
    """Tell whether this code runs inside a Prefect flow run; never imports Prefect to find out."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None


def as_flow(function: Callable, *, name: str, run_name: str | Callable[[], str] | None = None) -> Any:
    """Make a function a Prefect flow object that a deployment can name and a worker can run."""
    import prefect

    return prefect.flow(
        function,
        name=name,
        flow_run_name=run_name,
        persist_result=True,
        result_serializer="json",
    )


def show_table(key: str, rows: Sequence[dict], description: str) -> None:
    """Leave a table in the Prefect UI; does nothing outside a flow run."""
    if in_flow_run():
        from prefect.artifacts import create_table_artifact

        create_table_artifact(
            table=json.loads(json.dumps(list(rows), default=str)), key=key, description=description
        )


def show_markdown(key: str, markdown: str, description: str) -> None:
    """Leave a note in the Prefect UI; does nothing outside a flow run."""
    if in_flow_run():
        from prefect.artifacts import create_markdown_artifact

        create_markdown_artifact(markdown=markdown, key=key, description=description)


def name_flow_run(name: str) -> None:
    """Rename the flow run, once it is known what came of it; does nothing outside a flow run."""
    if in_flow_run():
        from prefect.client.orchestration import get_client
        from prefect.runtime import flow_run

        with get_client(sync_client=True) as client:
            client.update_flow_run(flow_run.id, name=name)


def artifact_key(*parts: str) -> str:
    """Join parts to a key as Prefect wants it: lower-case letters, digits and hyphens."""
    joined = "-".join(parts).lower()
    return "-".join(
        filter(None, "".join(c if c.isascii() and c.isalnum() else "-" for c in joined).split("-"))
    )


def configured_api() -> str | None:
    """Give the address of the Prefect API the user has configured, or None.

    Raises:
        ConfigError: it is malformed.
    """
    url = os.environ.get(addresses.API)
    if url:
        return addresses.api_url(url)
    if "PREFECT_PROFILE" in os.environ or _profile_names_api():
        from prefect.settings import PREFECT_API_URL

        named = PREFECT_API_URL.value()
        return addresses.api_url(named, f"{addresses.API} of the Prefect profile") if named else None
    return None


def page(api_url: str) -> str:
    """Give the address of the UI of a Prefect API, without secrets."""
    return redaction.mask(os.environ.get("PREFECT_UI_URL") or api_url.removesuffix("/api"))


def _profile_names_api() -> bool:
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    try:
        return "PREFECT_API_URL" in (home / "profiles.toml").read_text()
    except OSError:
        return False


def environment(workspace: Workspace) -> dict[str, str]:
    """Give the settings under which Servable runs Prefect where the user has set none."""
    wanted = {
        "PREFECT_HOME": str(workspace.prefect),
        # No telemetry leaves the machine, and its first write races with ours on a new database.
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # A server may run for days: its log says the date of an error, too.
        "PREFECT_LOGGING_FORMATTERS_STANDARD_DATEFMT": "%Y-%m-%d %H:%M:%S",
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_CLI_PROMPT": "false",
        # Its SQLite database has several writers: on a busy machine they wait, not fail.
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
    }
    if configured_api():
        del wanted["PREFECT_HOME"]
    return {name: value for name, value in wanted.items() if name not in os.environ}


def set_environment(workspace: Workspace) -> None:
    """Let this process, and those it starts, run Prefect under these settings."""
    os.environ.update(environment(workspace))


class EmbeddedServer:
    """A Prefect server of this process's own, on the workspace's SQLite database.

    It starts in the background, so that TensorFlow can be imported meanwhile, and ends with the
    process. Runs stay in the database: ``servable ui`` shows them later.
    """

    def __init__(self, workspace: Workspace, port: int | None = None, *, interface: bool = False) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.log = log_of(workspace)
        switches = {
            "PREFECT_SERVER_UI_ENABLED": str(interface).lower(),
            "PREFECT_UI_API_URL": self.url,
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
            # Without a UI nobody schedules: the loops would only compete for the database.
            "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": str(interface).lower(),
            "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": str(interface).lower(),
        }
        command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
        with server_log.open_log(self.log, self.url) as log:
            self.process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(self.port), "--log-level", "warning"],
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

    def stop(self) -> None:
        """End the server and wait for it."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def log_of(workspace: Workspace) -> Path:
    """Give the log of the Prefect servers that are started on a workspace."""
    return workspace.prefect / "server.log"


def free_port() -> int:
    """Find a TCP port on loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(api_url: str) -> bool:
    """Tell whether a Prefect API answers at this address; Prefect's cloud is taken at its word."""
    if api_url.startswith("https://api.prefect.cloud"):
        return True
    try:
        health = f"{addresses.without_userinfo(api_url)}/health"
        with urllib.request.urlopen(health, timeout=2) as response:  # noqa: S310
            return json.loads(response.read(1000)) is True
    except (OSError, http.client.HTTPException, ValueError):
        return False


def announce(workspace: Workspace, server: EmbeddedServer) -> None:
    """Record that this server stays up, so that trainings report to it instead of starting one."""
    write_atomically(
        workspace.prefect / "server.json", json.dumps({"url": server.url, "pid": server.process.pid})
    )


def announced(workspace: Workspace) -> str | None:
    """Give the address of the server ``servable ui`` keeps up on this workspace, if it answers."""
    try:
        url = json.loads((workspace.prefect / "server.json").read_text())["url"]
    except (OSError, ValueError, KeyError):
        return None
    return url if answers(url) else None


@contextmanager
def running_api(workspace: Workspace) -> Iterator[Callable[[], str]]:
    """Provide a Prefect API: the configured one, the UI's, or an embedded server for this process.

    Yields:
        A function that waits for the API and returns its address. Whatever is done before it is
        called overlaps with the server's start.
    """
    set_environment(workspace)
    url = configured_api() or announced(workspace)
    server = None if url else EmbeddedServer(workspace)

    def ready() -> str:
        address = url or server.wait().url  # type: ignore[union-attr]
        _require(address)
        return address

    try:
        yield ready
    finally:
        if server:
            server.stop()


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


def _require(address: str) -> None:
    if not answers(address):
        raise UnavailableError(
            "no Prefect API answers",
            got=redaction.mask(address),
            expected="the server named by PREFECT_API_URL or the Prefect profile, with /api at its end",
            todo="start it, unset PREFECT_API_URL, or train with --local to do without Prefect",
        )


@contextmanager
def connected(api: str) -> Iterator[None]:
    """Let Prefect's clients of this process talk to the API at an address."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api}):
        yield


def run(function: Callable, parameters: dict[str, Any], *, api: str, name: str, run_name: str) -> Any:
    """Run a function as a flow against the API at an address; its errors come out unchanged."""
    from prefect.logging.handlers import APILogHandler

    flow = as_flow(function, name=name, run_name=run_name)
    for handler in logging.getLogger().handlers:
        # The log of the run goes to the API; on the terminal an error is one line, said by the caller.
        handler.addFilter(_is_not_of_prefect)
    with connected(api):
        try:
            return flow(**parameters)
        finally:
            # What is still queued when an embedded server ends would be lost.
            APILogHandler().flush()


def _is_not_of_prefect(record: logging.LogRecord) -> bool:
    return not record.name.startswith("prefect")
