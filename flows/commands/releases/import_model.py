"""``servable import``: publish a model that was trained elsewhere."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import JsonOption, WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace, model_name


def import_model(
    source: Annotated[
        str,
        typer.Argument(help="models:/NAME@ALIAS, the folder of a SavedModel, or a .keras file."),
    ],
    name: Annotated[str, typer.Option(help="Name of the model here.")],
    example: Annotated[
        Path | None,
        typer.Option(help="File with a predict request in TensorFlow Serving's JSON.", metavar="FILE"),
    ] = None,
    allow_op: Annotated[
        list[str] | None, typer.Option(help="Op to allow beyond the safe ones.", metavar="OP")
    ] = None,
    workspace: WorkspaceOption = None,
    json_output: JsonOption = False,
) -> None:
    """Check and publish a model that was trained elsewhere.

    Takes a SavedModel, a Keras file, or a model of an MLflow registry.
    """
    from flows.imports import publication

    place, model = Workspace.open(workspace), model_name(name)
    with terminal.working("check the model"):
        done = publication.publish(place, source, model, example=example, allow_ops=allow_op or ())
    if json_output:
        print(json.dumps(done))
        return
    terminal.note(
        f"{name} version {done['version']} is published and stable: {', '.join(done['signatures'])}"
    )
    for note in done["notes"]:
        terminal.note(f"note: {note}")
