"""``servable promote``: make a published version the stable one, or try it as a canary."""

from typing import Annotated, Literal

import typer

from features.errors import UsageError
from flows.commands.options import ModelArgument, WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace, model_name


def promote(
    name: ModelArgument,
    version: Annotated[int, typer.Argument(help="Published version: see servable models.")],
    to: Annotated[Literal["stable", "canary"], typer.Option(help="Label to give it.")] = "stable",
    share: Annotated[
        float | None,
        typer.Option(help="Percentage of the requests that a canary answers (default: of its recipe, 10)."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Reason, kept in the history.")] = "",
    workspace: WorkspaceOption = None,
) -> None:
    """Make a version stable, or try it on a share of the requests."""
    from flows.promotion import moves
    from flows.runs import releases

    if share is not None and to == "stable":
        raise UsageError(
            "--share applies to a canary alone", got=f"--share {share:g}", todo="add --to canary"
        )
    place, model = Workspace.existing(workspace), model_name(name)
    releases.require(place, model)
    if to == "canary" and share is None:
        share = moves.default_share(place, model, version)
    moves.promote(place, model, version, reason or "promoted by hand", share=share)
    if share is None:
        terminal.note(f"{name}: version {version} is stable")
    else:
        terminal.note(f"{name}: version {version} is the canary and answers {share:g} % of the requests")
