"""Make scheduled deployments of training and monitoring; flows/scheduling/worker.py runs them."""

import contextlib
import io
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import UnavailableError
from features.storage import objects
from flows.console import quiet
from flows.console.redaction import mask
from flows.orchestration import prefect_api, step
from flows.runs.plans import usage
from flows.runs.plans.request import Request, check_addresses
from flows.scheduling.when import When
from flows.workspace import Workspace

if TYPE_CHECKING:
    from prefect.schedules import Schedule

POOL = "servable"
#: Of every deployment of ours, and of their runs.
TAG = "servable"
#: Of deployments that have no times, but are started by a drift.
ON_DRIFT = "on-drift"
ROOT = Path(__file__).resolve().parents[2]
#: Names of the flows in flows/deployment.py.
TRAINING, MONITORING = "servable-train", "servable-monitor"


def api(workspace: Workspace) -> str:
    """Return the address of a permanent Prefect server.

    Raises:
        ConfigError: PREFECT_API_URL is malformed.
        UnavailableError: none is configured and ``servable ui`` does not run.
    """
    step.set_environment(workspace)
    url = prefect_api.configured_api() or prefect_api.announced(workspace)
    if url is None or not prefect_api.answers(url):
        raise UnavailableError(
            "no Prefect server to schedule on",
            got=mask(url) if url else "none configured",
            expected="a running server",
            todo="start one with 'servable ui', or set PREFECT_API_URL",
        )
    return url


def deploy(request: Request, when: When) -> str:
    """Create or update the deployment of one model's training and tell where to see it.

    Args:
        request: what to train; its parameters can be edited in the Prefect UI.
        when: it is due.

    Raises:
        ServableError: whatever ``servable train`` would refuse before it reads any data.
        UnavailableError: there is no Prefect server.
        UsageError: the schedule cannot be read.
    """
    when.check()
    usage.check(request)
    workspace = Workspace.open(Path(request.workspace))
    check_addresses(workspace)
    step.set_environment(workspace)
    with quiet.native_stderr():
        from flows.runs.plans import plan

    plan.resolve(request)
    described = f"Train and publish {request.name}, a model for {request.task}."
    parameters = _form(_elsewhere(request).as_parameters())
    tags = [request.task, *([ON_DRIFT] if when.on_drift else [])]
    name = f"{request.task}-{request.name}"
    entry = f"train_{request.task.replace('-', '_')}"
    return _deployed(workspace, f"{TRAINING}/{name}", entry, when, parameters, tags, described)


def deploy_monitoring(workspace: Workspace, parameters: dict[str, Any], when: When) -> str:
    """Create or update the deployment that monitors one model and tell where to see it.

    Args:
        workspace: where the model is published.
        parameters: of the flow in flows/deployment.py; paths as the worker sees them.
        when: it is due.

    Raises:
        UnavailableError: there is no Prefect server.
        UsageError: the schedule cannot be read.
    """
    check_addresses(workspace)
    name = parameters["name"]
    described = f"Compare live inputs and answers of {name} with its training examples."
    return _deployed(workspace, f"{MONITORING}/{name}", "monitor_model", when, parameters, [], described)


def _deployed(
    workspace: Workspace,
    title: str,
    entry: str,
    when: When,
    parameters: dict[str, Any],
    tags: list[str],
    described: str,
) -> str:
    schedule = when.schedule()
    url = api(workspace)
    with step.connected(url):
        _ensure_pool()
        _deploy(entry, title.partition("/")[2], schedule, parameters, [TAG, *tags], described)
    return f"deployed {title}, due {when}: {step.page(url)}/deployments. Run it with: servable worker"


def _form(parameters: dict[str, Any]) -> dict[str, Any]:
    """Put the file of a recipe into the parameter of its own."""
    recipe = parameters["recipe"]
    if recipe and Path(recipe).suffix in (".yaml", ".yml"):
        return parameters | {"recipe": None, "recipe_file": recipe}
    return parameters


def _deploy(
    entry: str,
    name: str,
    schedule: "Schedule | None",
    parameters: dict[str, Any],
    tags: list[str],
    described: str,
) -> None:
    from prefect.flows import Flow

    # Prefect's own announcements are for people who deploy flows of their own.
    with contextlib.redirect_stdout(io.StringIO()):
        Flow.from_source(source=str(ROOT), entrypoint=f"flows/deployment.py:{entry}").deploy(
            name=name,
            work_pool_name=POOL,
            schedules=[] if schedule is None else [schedule],
            parameters=parameters,
            tags=tags,
            description=described,
            # Two trainings of one model would compete for its next version: the second waits.
            concurrency_limit=1,
            build=False,
            push=False,
            print_next_steps=False,
            ignore_warnings=True,
        )


def _elsewhere(request: Request) -> Request:
    """Name the request's files so that a worker finds them, in whichever folder it was started."""
    recipe = request.recipe
    if recipe and Path(recipe).suffix in (".yaml", ".yml") and Path(recipe).is_file():
        recipe = str(Path(recipe).absolute())
    overrides = tuple(map(_with_absolute_path, request.overrides))
    return replace(request, data=objects.absolute(request.data), recipe=recipe, overrides=overrides)


def _with_absolute_path(override: str) -> str:
    """Make the path in an override absolute, where it names a file, or a folder by more than one word."""
    key, _, value = override.partition("=")
    path = Path(value)
    names_a_place = path.is_file() or (path.is_dir() and os.sep in value)
    return f"{key}={path.absolute()}" if value and names_a_place else override


def _ensure_pool() -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    pool = WorkPoolCreate(name=POOL, type="process", description="Trainings of Servable on this machine")
    with get_client(sync_client=True) as client, contextlib.suppress(ObjectAlreadyExists):
        client.create_work_pool(pool)
