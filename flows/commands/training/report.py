"""``servable report``: the report page of a training."""

import webbrowser
from typing import Annotated

import typer

from features.errors import NoInputError
from flows.commands.options import WorkspaceOption, versioned
from flows.workspace import Workspace


def report(
    name: Annotated[str, typer.Argument(help="Model, such as pets or pets@3, or a run such as pets/RUN.")],
    open_page: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Print where the report of a model is, or open it."""
    from flows.runs import listing

    model, version = versioned(name)
    run = listing.find(Workspace.existing(workspace), model, version)
    if not run.report.is_file():
        raise NoInputError(f"the run {run.path.name} of {model} has no report", got=run.read().state)
    print(run.report)
    if open_page:
        webbrowser.open(run.report.as_uri())
