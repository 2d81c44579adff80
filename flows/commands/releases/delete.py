"""``servable delete``: delete a published model, or one version of it."""

from typing import Annotated

import typer

from features.errors import UsageError
from flows.commands.options import WorkspaceOption, YesOption, confirmed, versioned
from flows.console import terminal
from flows.workspace import Workspace, model_name


def delete(
    name: Annotated[str, typer.Argument(help="Model, such as pets, or a version of it, such as pets@3.")],
    reason: Annotated[str, typer.Option(help="Reason, kept in the history.")] = "",
    yes: YesOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Delete a model, or one version of it.

    Its runs and data stay: see servable prune.
    """
    from flows.runs import releases, removal

    place = Workspace.existing(workspace)
    model, version = versioned(name)
    releases.require(place, model_name(model))
    what = f"every version of {model}" if version is None else f"version {version} of {model}"
    if not confirmed(f"delete {what}?", yes):
        raise UsageError("nothing was deleted", got="no confirmation", todo="repeat with --yes")
    deleted = removal.delete(place, model_name(model), version, reason or "deleted by hand")
    terminal.note(f"{model}: deleted version {', '.join(map(str, deleted))}")
