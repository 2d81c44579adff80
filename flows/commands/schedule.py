"""``servable schedule`` and ``servable worker``."""

from typing import Annotated

import typer

from flows.commands.options import WorkspaceOption
from flows.commands.training_options import takes_a_request
from flows.console import terminal
from flows.runs.request import Request
from flows.workspace import Workspace


@takes_a_request
def schedule(
    request: Request,
    cron: Annotated[
        str | None, typer.Option(help="When, as a cron expression of five fields, in UTC.")
    ] = None,
    interval: Annotated[
        int | None, typer.Option(help="Every so many seconds, instead of --cron.", metavar="SECONDS")
    ] = None,
) -> None:
    """Deploy the training as a scheduled Prefect flow; edit its parameters in the Prefect UI."""
    from flows import schedules

    terminal.note(schedules.deploy(request, schedules.When(cron, interval)))


def worker(
    workspace: WorkspaceOption = None,
    once: Annotated[
        bool, typer.Option("--once", help="Run what is due, then end with the worst exit code of it.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Trainings at a time.")] = 1,
) -> None:
    """Run the process worker that executes scheduled trainings."""
    from flows import worker as workers

    raise typer.Exit(workers.work(Workspace.open(workspace), once=once, limit=limit))
