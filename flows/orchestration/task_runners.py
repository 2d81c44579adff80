"""Where ingest and featurize do their work: in this process, or in those of a Dask cluster.

Every part is a task of Prefect's, on the cluster of its task runner for Dask. What travels is small: the
paths of files and of folders that all processes see, and numbers.
"""

import contextlib
import contextvars
import functools
import importlib.util
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from features.errors import ConfigError, InternalError, UnavailableError, UsageError
from features.spread import Part, Spread

Result = TypeVar("Result")

#: Runners by name; any other is the address of a Dask scheduler.
THREADS, DASK = "threads", "dask"
#: Largest argument and largest result of a part, as they travel.
MOST_BYTES = 1_000_000
#: Each process of a local cluster computes with one core, leaves the memory of a GPU to the others, and is
#: silent: the terminal shows the progress of all.
ENVIRONMENT = {
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
}


def check(runner: str, *, local: bool = False) -> None:
    """Check that a runner can be used, before anything runs.

    Raises:
        UsageError: no such runner, or one that needs Prefect without it.
        ConfigError: the extra is not installed.
    """
    if runner == THREADS:
        return
    if runner != DASK and not _is_address(runner):
        raise UsageError(
            "no such runner",
            got=ascii(runner),
            expected=f"{THREADS}, {DASK} or the address of a Dask scheduler, such as tcp://HOST:8786",
        )
    if local:
        raise UsageError(
            "Dask runs the tasks of Prefect", got="--runner and --local", todo="pass one of them"
        )
    if importlib.util.find_spec("prefect_dask") is None:
        raise ConfigError(
            "prefect-dask is not installed",
            got=f"--runner {runner}",
            todo='pip install "servable[dask]"',
        )


def _is_address(runner: str) -> bool:
    try:
        parts = urlsplit(runner)
        return parts.scheme in ("tcp", "tls", "ucx", "ws", "wss") and bool(parts.hostname and parts.port)
    except ValueError:
        return False


@contextmanager
def spread(runner: str) -> Iterator[Spread | None]:
    """Provide what spreads parts of a step over a runner's processes; None for those of this machine.

    A cluster of this machine's own starts when parts are there for it, and ends with the body.

    Raises:
        UsageError, ConfigError: as of `check`.
        UnavailableError: the scheduler cannot be reached.
    """
    check(runner)
    if runner == THREADS:
        yield None
        return
    with _started(runner) as started:
        yield _Spread(started)


@contextmanager
def _started(runner: str) -> Iterator[Any]:
    from prefect_dask import DaskTaskRunner

    logging.getLogger("distributed").setLevel(logging.WARNING)  # which its import sets to INFO
    own = {
        "threads_per_worker": 1,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",
        "env": ENVIRONMENT,
    }
    chosen = DaskTaskRunner(cluster_kwargs=own) if runner == DASK else DaskTaskRunner(address=runner)
    with chosen:
        yield chosen


class _Spread:
    """Submits every part to a task runner's cluster, and yields the results as they come."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner

    def __call__(self, function: Callable[[Part], Result], parts: Sequence[Part]) -> Iterator[Result]:
        if not parts:
            return
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        shared = contextvars.copy_context().run(_shared, function)
        _require_small(shared, "what a process needs to know")
        client = _connected(self._runner)
        # Not pure: Dask would compute a name for each part from all that travels with it.
        futures = [client.submit(_run, shared, part, uuid.uuid4(), pure=False) for part in parts]
        try:
            for done in as_completed(futures, loop=client.loop):
                yield done.result().result(_sync=True)
        except KilledWorker as error:
            raise UnavailableError(
                "the processes of the Dask cluster keep dying",
                got=str(error),
                todo="look at the logs of its workers; what is done is not done again",
            ) from error


def _shared(function: Callable[[Part], Result]) -> bytes:
    """Serialize what all parts share: Prefect's task and settings, and the flow run that they belong to.

    Step, flow and their arguments stay here: they hold what cannot travel.
    """
    import prefect
    from distributed.protocol import serialize_bytes
    from prefect.cache_policies import NO_CACHE
    from prefect.context import FlowRunContext, TaskRunContext, serialize_context

    TaskRunContext.__var__.set(None)
    if (run := FlowRunContext.get()) is not None:
        FlowRunContext.__var__.set(run.model_copy(update={"flow": _flow(), "parameters": {}}))
    name = type(function).__name__.lower()
    task = prefect.task(
        _done,
        name=name,
        task_run_name=f"{name} {{part[0]}}-{{part[1]}}",
        # What a part has done lies in the workspace, of which Prefect's cache of results knows nothing.
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    shared: bytes = serialize_bytes((task, function, serialize_context()))
    return shared


@functools.cache
def _flow() -> Any:
    """Return what stands for the flow in the processes of a cluster, which know the run by its id."""
    import prefect

    return prefect.flow(_nothing, name="spread")


def _nothing() -> None:
    """Do nothing."""


def _run(shared: bytes, part: Part, run_id: uuid.UUID) -> Any:
    """Run a part as a task of Prefect's, in a process of the cluster; return the last state of its run."""
    from prefect.task_engine import run_task_sync

    task, function, flow_run = _prepared.of(shared)
    run = functools.partial(run_task_sync, task, run_id, return_type="state")
    return _prepared.context.run(run, parameters={"function": function, "part": part}, context=flow_run)


class _Prepared(threading.local):
    """Settings and a client of Prefect's, set up once in each thread that runs parts.

    Left to itself, Prefect reads its settings and makes two clients for every task, which takes ten times as
    long as all else that it does for one.

    Attributes:
        context: in which settings and client are in force.
    """

    def __init__(self) -> None:
        self.context = contextvars.Context()
        self._entered = contextlib.ExitStack()
        self._shared: bytes | None = None

    def of(self, shared: bytes) -> tuple[Any, Any, dict[str, Any]]:
        """Return task, function and flow run of what parts share, once `context` has settings and client."""
        if shared != self._shared:
            from distributed.protocol import deserialize_bytes

            self.context.run(self._entered.close)
            task, function, flow_run = deserialize_bytes(shared)
            self.context.run(self._enter, flow_run.pop("settings_context"))
            self._shared, self._task = shared, (task, function, flow_run)
        return self._task

    def _enter(self, settings: dict[str, Any]) -> None:
        from prefect.context import SettingsContext, SyncClientContext

        self._entered.enter_context(SettingsContext(**settings))
        self._entered.enter_context(SyncClientContext())


_prepared = _Prepared()


def _connected(runner: Any) -> Any:
    try:
        return runner.client
    except (OSError, TimeoutError) as error:
        raise UnavailableError(
            f"no Dask scheduler answers at {runner.address}",
            got=str(error),
            todo=f"start one with 'dask scheduler', or pass --runner {DASK} for a cluster of this machine",
        ) from error


def _done(function: Callable[[Part], Result], part: Part) -> Result:
    """Do a part, in a process of the cluster."""
    result = function(part)
    _require_small(result, "the result of a part")
    return result


def _require_small(value: object, what: str) -> None:
    from distributed.protocol import serialize_bytes

    size = len(serialize_bytes(value))
    if size > MOST_BYTES:
        raise InternalError(
            f"{what} is too large to travel", got=f"{size:,} bytes", expected=f"at most {MOST_BYTES:,}"
        )
