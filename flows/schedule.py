"""Make scheduled deployments of the training flow and run the worker that executes them."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from features.errors import UnavailableError, UsageError
from flows import orchestration, quiet
from flows.workspace import Workspace

POOL = "servable"
ROOT = Path(__file__).resolve().parent.parent
ENTRYPOINT = "flows/deployment.py:train_model"


def api(workspace: Workspace) -> str:
    """Give the address of a Prefect server that stays up.

    Raises:
        UnavailableError: none is configured and ``servable ui`` does not run.
    """
    os.environ.update(orchestration.environment(workspace))
    url = orchestration.configured_api() or orchestration.announced(workspace)
    if url is None or not orchestration.answers(url):
        raise UnavailableError(
            "no Prefect server to schedule on",
            got=url or "none configured",
            expected="a server that stays up",
            todo="start one with 'servable ui', or set PREFECT_API_URL",
        )
    return url


def deploy(workspace: Workspace, parameters: dict[str, Any], cron: str) -> str:
    """Create or update the deployment of one model's training and tell where to see it.

    Args:
        workspace: where the trained model goes.
        parameters: defaults of the flow's parameters; they can be edited in the Prefect UI.
        cron: five-field cron expression, in UTC.

    Raises:
        UnavailableError: there is no Prefect server.
        UsageError: the cron expression cannot be read.
    """
    from flows.request import Request

    with quiet.native_stderr():
        from flows import plan

    plan.resolve(Request(**{**parameters, "overrides": tuple(parameters["overrides"])}))
    url = api(workspace)
    from prefect.flows import Flow
    from prefect.schedules import Cron
    from prefect.settings import PREFECT_API_URL, temporary_settings

    try:
        schedule = Cron(cron, timezone="UTC")
    except ValueError as error:
        raise UsageError("cannot read --cron", got=cron, expected="five fields, as in '0 3 * * *'") from error
    name = f"{parameters['task']}-{parameters['name']}"
    # Prefect's own announcements are for people who deploy flows of their own.
    with temporary_settings({PREFECT_API_URL: url}), contextlib.redirect_stdout(io.StringIO()):
        _ensure_pool()
        flow = Flow.from_source(source=str(ROOT), entrypoint=ENTRYPOINT)
        flow.deploy(
            name=name,
            work_pool_name=POOL,
            schedule=schedule,
            parameters=parameters,
            tags=["servable", parameters["task"]],
            build=False,
            push=False,
            print_next_steps=False,
            ignore_warnings=True,
        )
    page = f"{url.removesuffix('/api')}/deployments"
    return f"deployed servable-train/{name}, due at '{cron}' UTC: {page}. Run it with: servable worker"


def _ensure_pool() -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    pool = WorkPoolCreate(name=POOL, type="process", description="Trainings of Servable on this machine")
    with get_client(sync_client=True) as client, contextlib.suppress(ObjectAlreadyExists):
        client.create_work_pool(pool)


def work(workspace: Workspace, *, once: bool = False) -> int:
    """Run a process worker on the pool until it is ended; once: run what is due and return.

    Returns:
        The worker's exit code.
    """
    url = api(workspace)
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"]
    return subprocess.call(
        [*command, *(["--run-once"] if once else [])],
        env=os.environ | {"PREFECT_API_URL": url},
    )
