"""``servable publish``: publish a candidate that the gate refused."""

import json
from typing import Annotated

import typer

from features.errors import UsageError
from flows.commands.options import JsonOption, QuietOption, WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace


def publish(
    run: Annotated[str, typer.Argument(help="Refused run, such as pets/RUN; pets alone for the newest one.")],
    accept_worse: Annotated[
        bool, typer.Option("--accept-worse", help="Confirm that its metric may be worse than the limit.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Reason, kept in the release and in MLflow.")] = "",
    workspace: WorkspaceOption = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Publish a model that the gate refused for its metric.

    Nothing is trained again: the refused candidate of a run is kept.
    """
    if not accept_worse or not reason.strip():
        raise UsageError(
            "publishing a refused candidate needs your confirmation and a reason",
            expected="--accept-worse and --reason TEXT",
        )
    place = Workspace.existing(workspace)
    from flows.console import quiet as quieting
    from flows.runs import listing

    listing.refused(place, run)
    with quieting.native_stderr():
        from flows import pipeline

    with terminal.hushed(quiet), terminal.progress_bars(quiet=quiet):
        summary = pipeline.publish_kept(place, run, reason.strip())
    if json_output:
        print(json.dumps(summary))
    else:
        from flows.console import summary as summaries

        summaries.show(summary, quiet=quiet)
