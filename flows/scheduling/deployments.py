"""The scheduled trainings and monitorings of a Prefect server: list, pause, resume, remove."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from features.errors import NoInputError
from features.names import near
from flows.orchestration import step
from flows.scheduling.schedules import ON_DRIFT, TAG, api
from flows.workspace import Workspace

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse


def described(workspace: Workspace) -> list[dict[str, Any]]:
    """Describe every schedule: model, task, when, next, paused, last.

    Raises:
        UnavailableError: there is no Prefect server.
    """
    with _connected(workspace) as client:
        return [_described(client, deployment) for deployment in _all(client)]


def pause(workspace: Workspace, name: str) -> None:
    """Start no further training of a model until it is resumed.

    Raises:
        NoInputError: the model has no schedule.
    """
    _change(workspace, name, lambda client, deployment: client.pause_deployment(deployment.id))


def resume(workspace: Workspace, name: str) -> None:
    """Train a model again when it is due.

    Raises:
        NoInputError: the model has no schedule.
    """
    _change(workspace, name, lambda client, deployment: client.resume_deployment(deployment.id))


def remove(workspace: Workspace, name: str) -> None:
    """Delete the schedule of a model; its runs stay in Prefect.

    Raises:
        NoInputError: the model has no schedule.
    """
    _change(workspace, name, lambda client, deployment: client.delete_deployment(deployment.id))


def _change(
    workspace: Workspace, name: str, change: "Callable[[SyncPrefectClient, DeploymentResponse], object]"
) -> None:
    with _connected(workspace) as client:
        every = _all(client)
        chosen = [each for each in every if each.parameters.get("name") == name]
        if not chosen:
            names = sorted(str(each.parameters["name"]) for each in every)
            raise NoInputError(
                "the model has no schedule",
                got=name,
                expected=f"one of {', '.join(names)}" if names else "no model has one",
                todo=near(name, names) or "make one with servable schedule TASK --data ... --name ...",
            )
        for deployment in chosen:
            change(client, deployment)


@contextmanager
def _connected(workspace: Workspace) -> "Iterator[SyncPrefectClient]":
    url = api(workspace)
    from prefect.client.orchestration import get_client

    with step.connected(url), get_client(sync_client=True) as client:
        yield client


def _all(client: "SyncPrefectClient") -> "list[DeploymentResponse]":
    """Return the deployments that train or monitor a model of their own, by its name."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    found = client.read_deployments(deployment_filter=ours)
    made = [each for each in found if each.schedules or ON_DRIFT in each.tags]
    return sorted(made, key=lambda each: (str(each.parameters.get("name")), each.name))


def _described(client: "SyncPrefectClient", deployment: "DeploymentResponse") -> dict[str, Any]:
    from prefect.client.schemas.objects import StateType

    done = (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED)
    due = _run(client, deployment, (StateType.SCHEDULED,), "EXPECTED_START_TIME_ASC")
    last = _run(client, deployment, done, "END_TIME_DESC")
    return {
        "model": deployment.parameters.get("name"),
        "task": deployment.parameters.get("task", "monitor"),
        "when": "; ".join(_words(each.schedule) for each in deployment.schedules) or "on drift",
        "next": due.expected_start_time.isoformat(timespec="seconds")
        if due and not deployment.paused
        else None,
        "paused": "yes" if deployment.paused else None,
        "last": last.state_name if last else None,
    }


def _run(client: "SyncPrefectClient", deployment: "DeploymentResponse", types: Any, order: str) -> Any:
    """Return the first run of a deployment in some states, or None."""
    from prefect.client.schemas import filters, sorting

    state = filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=list(types)))
    runs = client.read_flow_runs(
        deployment_filter=filters.DeploymentFilter(id=filters.DeploymentFilterId(any_=[deployment.id])),
        flow_run_filter=filters.FlowRunFilter(state=state),
        sort=sorting.FlowRunSort[order],
        limit=1,
    )
    return runs[0] if runs else None


def _words(schedule: Any) -> str:
    """Describe one of Prefect's schedules as `when.When` does."""
    from flows.scheduling.when import When

    interval, rrule = getattr(schedule, "interval", None), getattr(schedule, "rrule", None)
    if rrule is not None:  # Prefect puts a date in front, from which a rule counts
        rrule = "; ".join(line for line in rrule.splitlines() if not line.startswith("DTSTART"))
    return str(
        When(
            cron=getattr(schedule, "cron", None),
            interval=int(interval.total_seconds()) if interval is not None else None,
            rrule=rrule,
            timezone=schedule.timezone or "UTC",
        )
    )
