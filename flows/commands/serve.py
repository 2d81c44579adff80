"""``servable serve``: start the model server."""

from pathlib import Path

import typer

from flows.console import quiet as quieting
from flows.workspace import Workspace

#: Flags with which nothing of the workspace is served.
_ELSEWHERE = {"model_base_path", "model_config_file", "help", "version"}


def serve(context: typer.Context) -> None:
    """Serve the published models over gRPC and REST."""
    with quieting.native_stderr():
        from serving import cli as serving_cli

    arguments = list(context.args)
    root = _take_workspace(arguments)
    flags = {word.lstrip("-").partition("=")[0] for word in arguments}
    place = Workspace.at(root) if flags & _ELSEWHERE else Workspace.existing(root)
    raise typer.Exit(serving_cli.main(arguments, repository=place.repository))


def _take_workspace(arguments: list[str]) -> Path | None:
    for position, argument in enumerate(arguments):
        if argument == "--workspace" and position + 1 < len(arguments):
            root = Path(arguments[position + 1])
            del arguments[position : position + 2]
            return root
        if argument.startswith("--workspace="):
            del arguments[position]
            return Path(argument.partition("=")[2])
    return None
