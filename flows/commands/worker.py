"""``servable worker``: run scheduled trainings."""

from typing import Annotated

import typer

from flows.commands.options import WorkspaceOption
from flows.workspace import Workspace


def worker(
    workspace: WorkspaceOption = None,
    once: Annotated[
        bool,
        typer.Option("--once", help="Run the trainings that are due, then exit with their worst exit code."),
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Trainings to run in parallel.")] = 1,
) -> None:
    """Run scheduled trainings when they are due."""
    from flows.scheduling import worker as workers

    raise typer.Exit(workers.work(Workspace.open(workspace), once=once, limit=limit))
