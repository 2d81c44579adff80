"""``servable watch``: keep repository and MLflow in step, and judge canaries."""

from typing import Annotated

import typer

from flows.commands.options import WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace, model_name


def watch(
    name: Annotated[str | None, typer.Argument(help="Watch only this model.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Follow aliases moved in MLflow; promote canaries or roll them back by the rule of their recipe."""
    from flows.promotion import watch as watching

    models = None if name is None else [model_name(name)]
    watch = watching.Watch(Workspace.existing(workspace), models, terminal.note)
    shown: dict[str, str] = {}

    def report(model: str, found: watching.Judgement) -> None:
        line = f"{model}: {watching.described(found)}"
        if line != shown.get(model):
            shown[model] = line
            terminal.note(line)

    if not once:
        watch.run(report)
    for each, found in watch.judge().items():
        report(each, found)
    watch.follow()
