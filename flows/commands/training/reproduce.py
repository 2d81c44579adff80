"""``servable reproduce``: train a published model again and compare the weights."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import JsonOption, QuietOption, WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace

if TYPE_CHECKING:
    from flows.reproduction import Reproduction

#: Exit code where the weights differ.
DIFFERS = 65


def reproduce(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    version: Annotated[int | None, typer.Argument(help="Version; the stable one if it is not given.")] = None,
    workspace: WorkspaceOption = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Train a published model again and compare the weights.

    Data, recipe and seed are those recorded with the release.
    """
    from flows.console import quiet as quieting

    place = Workspace.existing(workspace)
    with quieting.native_stderr():
        from flows import reproduction

    with terminal.progress_bars(quiet=quiet):
        result = reproduction.reproduce(place, name, version)
    if json_output:
        print(json.dumps(result.as_json()))
    else:
        _show(result)
    raise typer.Exit(0 if result.equal else DIFFERS)


def _show(result: "Reproduction") -> None:
    subject = f"{result.model} version {result.version}"
    if result.equal:
        print(f"{subject} is reproduced: equal weights, {result.trained}")
    else:
        print(f"{subject} is not reproduced: weights {result.trained}, published {result.published}")
    for place, distance in result.differing.items():
        print(f"  array {place} differs by at most {distance:.3g}")
    for name, (then, now) in result.versions.items():
        print(f"  {name} was {then or 'not installed'}, is {now or 'not installed'}")
