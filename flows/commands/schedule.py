"""``servable schedule``: deploy a training as a scheduled Prefect flow."""

from typing import Annotated

import typer

from flows.commands.training_options import takes_a_request
from flows.console import terminal
from flows.runs.request import Request


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
    from flows.scheduling import schedules

    terminal.note(schedules.deploy(request, schedules.When(cron, interval)))
