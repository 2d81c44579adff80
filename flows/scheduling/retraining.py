"""Start the training of a model out of turn, as after a drift: at most one in a while, one at a time."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from features.errors import NoInputError
from flows.orchestration import step
from flows.scheduling.schedules import TRAINING, api
from flows.workspace import Workspace

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

#: Of the runs that a drift has started.
TAG = "drift"
#: Hours without another training after one has begun.
COOLDOWN = 24.0


@dataclass(frozen=True)
class Policy:
    """When a drift starts a training, and which.

    Attributes:
        cooldown: hours after the begin of a training, however it ended, in which none is started.
        deployment: Prefect's, as FLOW/NAME; None for the one that ``servable schedule`` made of the model.
    """

    cooldown: float = COOLDOWN
    deployment: str | None = None


@dataclass(frozen=True)
class Retraining:
    """What came of it.

    Attributes:
        started: whether a training was started.
        text: what was done, or why nothing, in a line.
    """

    started: bool
    text: str


def start(workspace: Workspace, name: str, task: str, policy: Policy) -> Retraining:
    """Start the deployment that trains a model, unless it is at work or was a short while ago.

    Prefect remembers when it was, so that every monitor of a model, on whichever machine, knows it; of two
    at once only one starts a training. A worker runs it.

    Args:
        workspace: whose Prefect server is asked.
        name: of the model.
        task: of the model.
        policy: which deployment, and how often.

    Raises:
        UnavailableError: there is no Prefect server.
        NoInputError: there is no such deployment.
    """
    url, wanted = api(workspace), policy.deployment or f"{TRAINING}/{task}-{name}"
    from prefect.client.orchestration import get_client

    with step.connected(url), get_client(sync_client=True) as client:
        deployment = _deployment(client, wanted)
        last = _last(client, deployment)
        if last is not None and (reason := _hindrance(last, policy)):
            return Retraining(False, f"{name} is not trained again: {reason}")
        run = client.create_flow_run_from_deployment(
            deployment.id,
            tags=[TAG],
            # Whoever else sees the same last training gets the same run.
            idempotency_key=f"drift after {last.id if last else 'none'}",
        )
    return Retraining(
        True, f"training of {name} started as {run.name}: {step.page(url)}/runs/flow-run/{run.id}"
    )


def _deployment(client: "SyncPrefectClient", wanted: str) -> "DeploymentResponse":
    from prefect.exceptions import ObjectNotFound

    try:
        return client.read_deployment_by_name(wanted)
    except (ObjectNotFound, ValueError) as error:
        raise NoInputError(
            "no deployment to train the model with",
            got=wanted,
            expected="a deployment of the Prefect server, as FLOW/NAME",
            todo="make one with servable schedule TASK --on-drift --data ... --name ...",
        ) from error


def _last(client: "SyncPrefectClient", deployment: "DeploymentResponse") -> "FlowRun | None":
    """Return the run that began last or is due now; None if there was none. One planned for later is not."""
    from prefect.client.schemas import filters, sorting

    due = filters.FlowRunFilterExpectedStartTime(before_=datetime.now(UTC) + timedelta(seconds=1))
    runs = client.read_flow_runs(
        deployment_filter=filters.DeploymentFilter(id=filters.DeploymentFilterId(any_=[deployment.id])),
        flow_run_filter=filters.FlowRunFilter(expected_start_time=due),
        sort=sorting.FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=1,
    )
    return runs[0] if runs else None


def _hindrance(last: "FlowRun", policy: Policy) -> str:
    """Return why no training is started after this one; empty if one may be."""
    state: Any = last.state
    if not state.is_final():
        return f"{last.name} is {state.name.lower()}"
    began = last.start_time or last.expected_start_time
    assert began is not None, "a run that has ended has begun"
    ago = (datetime.now(UTC) - began).total_seconds() / 3600
    if ago >= policy.cooldown:
        return ""
    return f"{last.name} began {_hours(ago)} ago; the cool-down is {_hours(policy.cooldown)}"


def _hours(hours: float) -> str:
    return f"{hours:.3g} h" if hours >= 1 else f"{60 * hours:.2g} min"
