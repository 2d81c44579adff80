"""Runs whose process has died: marked as crashed, so that none holds its place for ever, and restarted.

A self-hosted Prefect server notices no death by itself. Two things do: an automation on the server, which
hears the heartbeats of runs under way, and the worker, which looks at the processes of its own host, also
before their first heartbeat.
"""

import datetime
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psutil

from flows.console import terminal
from flows.orchestration import step
from flows.scheduling.schedules import TAG
from flows.tracking.spool.processes import host, is_alive

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

AUTOMATION = "Servable: mark runs without heartbeat as crashed"
#: A run sends a heartbeat every 30 seconds; two that are missing tell that it is dead.
HEARTBEAT_SECONDS, SILENCE_SECONDS = 30, 90
#: How long a run may be about to start, and how often the worker looks.
PENDING_SECONDS, LOOK_SECONDS = 45.0, 10.0
#: How long the worker waits at its end for a look that is under way.
LEAVE_SECONDS = 5.0
#: A killed run is restarted within an hour, and at most twice: its training may be what kills it.
RESTART_SECONDS, RESTARTS = 3600, 2
#: Tags a run with how many runs before it were killed.
RESTART = "restart-"

NO_HEARTBEAT = f"No heartbeat for {SILENCE_SECONDS} seconds: the process has died."
NOT_STARTED = "its worker ended before it had started a process"
#: Messages of the automation, of the worker's look, and of Prefect's worker after SIGKILL.
KILLED = re.compile(
    rf"{NO_HEARTBEAT}|{NOT_STARTED}|its process \d+ has ended|"
    r".*exited with (?:non-zero )?status code:? -9\b"
)


def install(client: "SyncPrefectClient") -> bool:
    """Make the automation on the server, unless it has it; return whether it was made."""
    if client.read_automations_by_name(AUTOMATION):
        return False
    client.create_automation(_automation())
    return True


def _automation() -> Any:
    from prefect.automations import AutomationCore, ChangeFlowRunState, EventTrigger, Posture
    from prefect.client.schemas.objects import StateType

    ended = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
    trigger = EventTrigger(
        after={"prefect.flow-run.heartbeat"},
        expect={"prefect.flow-run.heartbeat", *ended},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.id": f"prefect.tag.{TAG}"},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=datetime.timedelta(seconds=SILENCE_SECONDS),
    )
    return AutomationCore(
        name=AUTOMATION,
        description="Made by servable worker.",
        trigger=trigger,
        actions=[ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=NO_HEARTBEAT)],
    )


def identifier(pid: int) -> str:
    """Name a process so that every worker of this host finds out whether it is alive."""
    try:
        since = psutil.Process(pid).create_time()
    except psutil.Error:
        since = 0.0
    return f"{host()} {pid} {since:.2f}"


@contextmanager
def watching(url: str, *, restarts: bool = True) -> Iterator[None]:
    """Install the automation, reap dead runs of this host and restart killed ones in the background."""
    ended = threading.Event()

    def watch() -> None:
        installed = False
        while True:
            # A server that is away or refuses is told by others; the next look tries again.
            with suppress(Exception):
                installed = _look(url, installed, restarts=restarts)
            if ended.wait(LOOK_SECONDS):
                return

    thread = threading.Thread(target=watch, name="recovery", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LEAVE_SECONDS)


def _look(url: str, installed: bool, *, restarts: bool) -> bool:
    from prefect.client.orchestration import get_client

    with step.connected(url), get_client(sync_client=True) as client:
        if not installed:
            install(client)
        reap(client)
        if restarts:
            restart(client)
    return True


def reap(client: "SyncPrefectClient", grace: float = PENDING_SECONDS) -> list[str]:
    """Mark the runs as crashed that this host began and whose process is gone; return their names.

    Args:
        client: of the server.
        grace: seconds for which a run that has just changed its state is left alone.
    """
    from prefect.states import Crashed

    dead = [(run, reason) for run in _begun(client) if (reason := _death(run, grace))]
    for run, reason in dead:
        client.set_flow_run_state(run.id, Crashed(message=reason), force=True)
        terminal.note(f"{run.name}: marked as crashed: {reason}")
    return [run.name for run, _ in dead]


def restart(client: "SyncPrefectClient") -> list[str]:
    """Start a new run for each one that was killed within the hour; return the names of the new runs.

    However often this is called, and by however many workers, a killed run is restarted once.
    """
    killed = {f"{RESTART}{run.id}": run for run in _killed(client) if run.deployment_id}
    known = _known(client, killed) if killed else set()
    new = [
        client.create_flow_run_from_deployment(
            run.deployment_id,
            parameters=run.parameters,
            tags=[f"{RESTART}{_restarts(run) + 1}"],
            idempotency_key=key,
        )
        for key, run in killed.items()
        if key not in known
    ]
    for run in new:
        terminal.note(f"{run.name}: restarts a training that was killed")
    return [run.name for run in new]


def _known(client: "SyncPrefectClient", keys: Iterable[str]) -> set[str]:
    """Return those of some idempotency keys that runs have."""
    from prefect.client.schemas import filters

    wanted = filters.FlowRunFilter(
        idempotency_key=filters.FlowRunFilterIdempotencyKey(any_=sorted(keys)),
    )
    return {run.idempotency_key or "" for run in client.read_flow_runs(flow_run_filter=wanted, limit=200)}


def _killed(client: "SyncPrefectClient") -> "list[FlowRun]":
    """Return the runs that were killed lately and may be restarted."""
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType

    since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=RESTART_SECONDS)
    types = filters.FlowRunFilterStateType(any_=[StateType.CRASHED])
    wanted = filters.FlowRunFilter(
        state=filters.FlowRunFilterState(type=types),
        tags=filters.FlowRunFilterTags(all_=[TAG]),
        end_time=filters.FlowRunFilterEndTime(after_=since),
    )
    crashed = client.read_flow_runs(flow_run_filter=wanted, limit=200)
    return [
        run
        for run in crashed
        if _restarts(run) < RESTARTS and run.state and KILLED.match(run.state.message or "")
    ]


def _restarts(run: "FlowRun") -> int:
    return max((int(tag.removeprefix(RESTART)) for tag in run.tags if tag.startswith(RESTART)), default=0)


def _begun(client: "SyncPrefectClient") -> "list[FlowRun]":
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType

    types = filters.FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING])
    wanted = filters.FlowRunFilter(
        state=filters.FlowRunFilterState(type=types), tags=filters.FlowRunFilterTags(all_=[TAG])
    )
    return list(client.read_flow_runs(flow_run_filter=wanted, limit=200))


def _death(run: "FlowRun", grace: float) -> str:
    """Return why a run cannot be alive; empty if it may be, or if another host knows."""
    where, _, rest = (run.infrastructure_pid or "").partition(" ")
    pid, _, since = rest.partition(" ")
    if run.state is None or _age(run.state.timestamp) < grace:
        return ""
    if not where and run.state.is_pending() and run.deployment_id:
        return NOT_STARTED
    return f"its process {pid} has ended" if where == host() and not is_alive(pid, since) else ""


def _age(moment: datetime.datetime) -> float:
    return (datetime.datetime.now(datetime.UTC) - moment).total_seconds()
