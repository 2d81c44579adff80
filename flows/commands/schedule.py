"""``servable schedule``: deploy a training as a scheduled Prefect flow."""

from typing import Annotated

import typer

from flows.commands.training_options import takes_a_request
from flows.console import terminal
from flows.runs.request import Request


@takes_a_request
def schedule(
    request: Request,
    cron: Annotated[str | None, typer.Option(help="Cron expression of five fields, in UTC.")] = None,
    interval: Annotated[
        int | None, typer.Option(help="Interval in seconds, instead of --cron.", metavar="SECONDS")
    ] = None,
) -> None:
    """Schedule a training as a Prefect deployment."""
    from flows.scheduling import schedules

    terminal.note(schedules.deploy(request, schedules.When(cron, interval)))
