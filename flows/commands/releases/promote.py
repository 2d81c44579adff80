"""``servable promote``: make a published version the stable one, or try it as a canary."""

from typing import Annotated, Literal

import typer

from features.errors import UsageError
from flows.commands.options import WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace, model_name


def promote(
    name: str,
    version: int,
    to: Annotated[Literal["stable", "canary"], typer.Option(help="Label to give it.")] = "stable",
    share: Annotated[
        float | None,
        typer.Option(help="Percentage of the requests that a canary answers (default: of its recipe, 10)."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Reason, kept in the history.")] = "",
    workspace: WorkspaceOption = None,
) -> None:
    """Make a published version the stable one, or let it answer a share of the requests as a canary."""
    from flows.promotion import moves

    if share is not None and to == "stable":
        raise UsageError(
            "--share applies to a canary alone", got=f"--share {share:g}", todo="add --to canary"
        )
    place, model = Workspace.existing(workspace), model_name(name)
    if to == "canary" and share is None:
        share = moves.default_share(place, model, version)
    moves.promote(place, model, version, reason or "promoted by hand", share=share)
    if share is None:
        terminal.note(f"{name}: version {version} is stable")
    else:
        terminal.note(f"{name}: version {version} is the canary and answers {share:g} % of the requests")
