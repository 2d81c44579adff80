"""Make scheduled deployments of the training flow; flows/scheduling/worker.py runs them."""

import contextlib
import io
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import UnavailableError, UsageError
from flows.console import quiet
from flows.console.redaction import mask
from flows.orchestration import prefect_api, step
from flows.runs import usage
from flows.runs.request import Request, check_addresses
from flows.workspace import Workspace

if TYPE_CHECKING:
    from prefect.schedules import Schedule

POOL = "servable"
ROOT = Path(__file__).resolve().parents[2]
ENTRYPOINT = "flows/deployment.py:train_model"
#: Prefect plans no run that is further away than a hundred days.
LONGEST_INTERVAL = 100 * 24 * 3600


@dataclass(frozen=True)
class When:
    """When a training is due: by a cron expression, or every so many seconds.

    Attributes:
        cron: of five fields, in UTC.
        interval: in seconds, from 1 to a hundred days.
    """

    cron: str | None = None
    interval: int | None = None

    def __str__(self) -> str:
        """Describe it in words."""
        return f"at '{self.cron}' UTC" if self.cron is not None else f"every {self.interval} seconds"

    def check(self) -> None:
        """Find out whether exactly one is given, and whether it is in range.

        Raises:
            UsageError: otherwise.
        """
        if (self.cron is None) == (self.interval is None):
            raise UsageError(
                "the schedule needs one of --cron and --interval",
                got="both" if self.cron is not None else "neither",
                expected="--cron 'FIVE FIELDS' or --interval SECONDS",
            )
        if self.interval is not None and not 1 <= self.interval <= LONGEST_INTERVAL:
            raise UsageError(
                "invalid --interval", got=self.interval, expected=f"1 to {LONGEST_INTERVAL} seconds"
            )
        # Six fields would be read with the seconds last, where other programs have them first.
        if self.cron is not None and not (len(self.cron.split()) == 5 or self.cron.startswith("@")):
            raise _unreadable(self.cron)

    def schedule(self) -> "Schedule":
        """Make Prefect's schedule of it.

        Raises:
            UsageError: the cron expression cannot be read, or no date ever fits it.
        """
        from prefect.schedules import Cron, Interval

        self.check()
        if self.interval is not None:
            return Interval(self.interval, timezone="UTC")
        cron = str(self.cron)
        if not _is_due_some_day(cron):
            raise _unreadable(cron)
        return Cron(cron, timezone="UTC")


def _unreadable(cron: str) -> UsageError:
    return UsageError(
        "cannot read --cron",
        got=ascii(cron),
        expected="five fields that match some date, such as '0 3 * * *'",
    )


def _is_due_some_day(cron: str) -> bool:
    """Return whether Prefect's server can schedule a cron expression: not the 30th of February."""
    import asyncio

    from prefect.server.schemas.schedules import CronSchedule

    try:
        return bool(asyncio.run(CronSchedule(cron=cron, timezone="UTC").get_dates(1)))
    except ValueError:
        return False


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
        from flows.runs import plan

    plan.resolve(request)
    schedule = when.schedule()
    url = api(workspace)
    parameters = _elsewhere(request).as_parameters()
    name = f"{request.task}-{request.name}"
    with step.connected(url):
        _ensure_pool()
        _deploy(name, schedule, parameters)
    page = f"{step.page(url)}/deployments"
    return f"deployed servable-train/{name}, due {when}: {page}. Run it with: servable worker"


def _deploy(name: str, schedule: "Schedule", parameters: dict[str, Any]) -> None:
    from prefect.flows import Flow

    # Prefect's own announcements are for people who deploy flows of their own.
    with contextlib.redirect_stdout(io.StringIO()):
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


def _elsewhere(request: Request) -> Request:
    """Name the request's files so that a worker finds them, in whichever folder it was started."""
    recipe = request.recipe
    if recipe and Path(recipe).suffix in (".yaml", ".yml") and Path(recipe).is_file():
        recipe = str(Path(recipe).absolute())
    overrides = tuple(map(_with_absolute_path, request.overrides))
    return replace(request, data=str(Path(request.data).absolute()), recipe=recipe, overrides=overrides)


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
