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
    """Follow MLflow's aliases; promote canaries or roll them back.

    The rule by which a canary is judged is in its recipe.
    """
    from flows.promotion import watch as watching
    from flows.runs import releases

    place, models = Workspace.existing(workspace), None if name is None else [model_name(name)]
    for model in models or ():
        releases.require(place, model)
    watch = watching.Watch(place, models, terminal.note)
    last_lines: dict[str, str] = {}

    def report(model: str, judgement: watching.Judgement) -> None:
        line = f"{model}: {watching.described(judgement)}"
        if line != last_lines.get(model):
            last_lines[model] = line
            terminal.note(line)

    if not once:
        watch.run(report)
    for each, judgement in watch.judge().items():
        report(each, judgement)
    watch.follow()
