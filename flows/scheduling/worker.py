"""Run what Prefect has scheduled, one process for each training, and tell how each of them ended."""

import asyncio
import contextlib
import datetime
import functools
import io
import os
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import ServableError, UnavailableError
from flows import interfaces
from flows.console import server_log, terminal
from flows.console.redaction import mask
from flows.orchestration import outcome, prefect_api, step
from flows.orchestration.outcome import Outcome
from flows.runs.plans.request import check_addresses
from flows.scheduling import recovery
from flows.scheduling.schedules import POOL, api
from flows.tracking import tracking
from flows.workspace import Workspace

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.workers.process import ProcessWorker

#: How often the log of Prefect's server is looked at, and whether the server answers.
WATCH_SECONDS = 2.0

#: Prefect's own log goes to its server, and no traceback to the terminal: Servable says what happened.
SILENCE = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}


class TerminatedError(ServableError):
    """SIGTERM ended the worker."""

    exit_code = 143


def work(workspace: Workspace, *, once: bool = False, limit: int = 1) -> int:
    """Run scheduled trainings until the worker is ended; once: those that are due, and return.

    Args:
        workspace: whose Prefect server is asked, where PREFECT_API_URL names no other.
        once: run what is due now, and return.
        limit: trainings at a time.

    Returns:
        The worst exit code of the trainings, by :data:`outcome.WORST_FIRST`; 0 if none was due.

    Raises:
        TerminatedError: SIGTERM came.
        ConfigError: MLFLOW_TRACKING_URI or PREFECT_API_URL cannot work.
        UnavailableError: the Prefect server is away.
    """
    check_addresses(workspace)
    os.environ.update({name: value for name, value in SILENCE.items() if name not in os.environ})
    url = api(workspace)
    os.environ["MLFLOW_TRACKING_URI"] = tracking.tracking_uri(workspace)
    with step.connected(url), _watched(workspace, url), recovery.watching(url, restarts=not once):
        if not once:
            terminal.note(f"waiting for trainings from {step.page(url)}; press Ctrl-C to stop")
            return outcome.worst(ended.code for ended in _serve(url, once=False, limit=limit))
        return outcome.worst(ended.code for ended in _run_due(url, limit))


def _run_due(url: str, limit: int) -> list[Outcome]:
    """Run all that was due when this was called: Prefect returns no more than the limit at a time."""
    begin, outcomes = datetime.datetime.now(datetime.UTC), list[Outcome]()
    while ran := _serve(url, once=True, limit=limit):
        outcomes += ran
        if all(ended.due > begin for ended in ran):
            break
    if not outcomes:
        terminal.note("no training is due")
    return outcomes


def _serve(url: str, *, once: bool, limit: int) -> list[Outcome]:
    outcomes: list[Outcome] = []
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # Prefect prints tracebacks there
            ended_by = asyncio.run(_until_ended(_worker(outcomes, limit), once=once))
    except Exception as error:
        raise _lost(url, error) from error
    if ended_by:
        raise KeyboardInterrupt if ended_by == signal.SIGINT else TerminatedError("the worker was terminated")
    if once and not outcomes and not prefect_api.answers(url):
        raise _lost(url)
    return outcomes


async def _until_ended(worker: Any, *, once: bool) -> int:
    """Run a worker to its end; return the number of the signal that ended it, 0 for none."""
    serving = asyncio.ensure_future(worker.start(run_once=once, printer=lambda *_: None))
    signals: list[int] = []

    def end(number: int) -> None:
        signals.append(number)
        if len(signals) > 1 or not worker.end():
            serving.cancel()

    worker.when_idle = serving.cancel
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end, number)
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    return signals[0] if signals else 0


def _lost(url: str, error: Exception | None = None) -> UnavailableError:
    return UnavailableError(
        "the worker cannot use its Prefect server",
        got=mask(f"{type(error).__name__}: {error}") if error else "no answer",
        expected=f"the Prefect API at {mask(url)}",
        todo="check the log of the server, then start the worker again",
    )


def _worker(outcomes: list[Outcome], limit: int) -> "ProcessWorker":
    return _worker_type()(outcomes, work_pool_name=POOL, limit=limit)


@functools.cache  # Prefect warns of a second type of the same name
def _worker_type() -> Any:
    from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

    class Job(ProcessJobConfiguration):
        """A training in a process of this interpreter."""

        def prepare_for_flow_run(self, *arguments: Any, **options: Any) -> None:
            """Start Prefect's engine itself: its supervisor would print tracebacks."""
            if not self.command:  # type: ignore[has-type]
                self.command = shlex.join([sys.executable, "-m", "prefect.engine"])
            super().prepare_for_flow_run(*arguments, **options)

    class Worker(ProcessWorker):
        """A worker that keeps how each training ended, and that lets them end in peace."""

        job_configuration = Job
        when_idle: Callable[[], object]

        def __init__(self, outcomes: list[Outcome], **options: Any) -> None:
            super().__init__(**options)
            self._outcomes = outcomes
            self._pids: dict[Any, int] = {}
            self._ending = False

        @classmethod
        def __dispatch_key__(cls) -> str:
            """Stand beside Prefect's own process worker, not in its place."""
            return "servable"

        def end(self) -> bool:
            """Ask the trainings to end, and take no further one; returns False if none runs."""
            self._ending = True
            for pid in self._pids.values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            return bool(self._pids)

        async def get_and_submit_flow_runs(self) -> list["FlowRun"]:
            """Ask for what is due, unless the worker is to end."""
            return [] if self._ending else await super().get_and_submit_flow_runs()

        async def run(
            self, flow_run: "FlowRun", configuration: Any, task_status: Any = None
        ) -> ProcessWorkerResult:
            """Run one training and tell how it ended."""
            with tempfile.TemporaryDirectory(prefix="servable-run-") as folder:
                file = Path(folder) / "outcome.json"
                configuration.env[outcome.VARIABLE] = str(file)
                terminal.note(f"{_name(flow_run)}: started as {flow_run.name}")
                started, status = _Started(self._pids, flow_run.id, task_status), 0
                try:
                    result = await super().run(flow_run, configuration, started)
                    status = result.status_code
                    return result
                finally:
                    self._pids.pop(flow_run.id, None)
                    self._outcomes.append(await self._ended(flow_run, outcome.read(file, status)))
                    if self._ending and not self._pids:
                        self.when_idle()

        async def _ended(self, flow_run: "FlowRun", left: tuple[int, str] | None) -> Outcome:
            if left is None:
                state = (await self.client.read_flow_run(flow_run.id)).state
                left = outcome.of_state(state.type.value if state else "", state.message if state else "")
            code, text = left
            terminal.note(f"{_name(flow_run)}: {f'failed ({code}): ' if code else ''}{text}")
            return Outcome(code, text, flow_run.expected_start_time or datetime.datetime.now(datetime.UTC))

    return Worker


class _Started:
    """Notes the process of a run that has started, and passes it on."""

    def __init__(self, pids: dict[Any, int], run: Any, inner: Any) -> None:
        self._pids, self._run, self._inner = pids, run, inner

    def started(self, pid: int) -> None:
        """Note the process."""
        self._pids[self._run] = pid
        if self._inner is not None:
            self._inner.started(recovery.identifier(pid))


def _name(flow_run: "FlowRun") -> str:
    task, name = (flow_run.parameters.get(key) for key in ("task", "name"))
    return f"{task} {name}" if task and name else flow_run.name


@contextlib.contextmanager
def _watched(workspace: Workspace, url: str) -> Iterator[None]:
    """Report errors in the logs of a workspace's servers, and when Prefect's does not respond."""
    ended = threading.Event()
    logs = [log for log in interfaces.logs(workspace) if log != step.log_of(workspace)]
    if server_log.address(step.log_of(workspace)) == url:
        logs.append(step.log_of(workspace))
    thread = threading.Thread(target=_watch, args=(logs, url, ended), name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _watch(logs: Sequence[Path], url: str, ended: threading.Event) -> None:
    watches = [server_log.Watch(log) for log in logs]
    for watch in watches:
        watch.tell_last(terminal.note)
    answered = True
    while not ended.wait(WATCH_SECONDS):
        for watch in watches:
            watch.tell_fresh(terminal.note)
        if (answers := prefect_api.answers(url)) != answered:
            answered = answers
            terminal.note(
                f"Prefect's server at {mask(url)} {'responds again' if answers else 'does not respond'}"
            )
