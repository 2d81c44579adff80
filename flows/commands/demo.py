"""``servable demo``: all steps from data to predictions, on data that come with the package."""

from typing import Annotated, Literal

import typer

from flows.commands.options import WorkspaceOption
from flows.console import quiet as quieting
from flows.workspace import Workspace


def demo(
    part: Annotated[
        Literal["tour", "drift"],
        typer.Argument(
            help="tour; or drift: from a drift of live inputs to a retraining, and to a rollback."
        ),
    ] = "tour",
    workspace: WorkspaceOption = None,
) -> None:
    """Train, serve and query four small models on included data.

    Or show how a drift of the inputs is answered: servable demo drift.
    """
    with quieting.native_stderr():
        from flows.demo import drift, tour

    run = drift.run if part == "drift" else tour.run
    run(Workspace.open(workspace))
