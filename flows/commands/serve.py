"""``servable serve``: start the model server."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from flows.console import quiet as quieting
from flows.workspace import Workspace

#: Flags with which something else than the repository is served, or nothing.
_ELSEWHERE = ("model_base_path", "model_config_file", "help", "version")
_WITHOUT_WATCH = "--no-watch"
_OWN = """Serve the published models over gRPC and REST; new versions take over.

  --workspace DIR       folder of all output files (or SERVABLE_WORKSPACE)
  --no-watch            do not follow MLflow's aliases, nor judge canaries
"""


def serve(context: typer.Context) -> None:
    """Serve the published models over gRPC and REST."""
    with quieting.native_stderr():
        from serving import cli as serving_cli

    arguments = ["--help" if argument == "-h" else argument for argument in context.args]
    if "--help" in arguments:
        print(_OWN)
    root = _take_workspace(arguments)
    watched = _take_watch(arguments)
    workspace = Workspace.at(root) if _is_elsewhere(arguments) else Workspace.existing(root)
    with _watching(workspace) if watched else contextlib.nullcontext():
        code = serving_cli.main(arguments, repository=workspace.repository)
    raise typer.Exit(code)


@contextlib.contextmanager
def _watching(workspace: Workspace) -> Iterator["subprocess.Popen[bytes]"]:
    """Watch the models in a process of its own: it imports MLflow, and ends with this one."""
    command = [sys.executable, "-m", "flows.promotion", str(workspace.root)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _take_watch(arguments: list[str]) -> bool:
    """Return whether the models are watched, and take the flag that says no."""
    if _WITHOUT_WATCH in arguments:
        arguments.remove(_WITHOUT_WATCH)
        return False
    return not _is_elsewhere(arguments)


def _is_elsewhere(arguments: list[str]) -> bool:
    """Return whether something else than the repository is served, or nothing."""
    flags = {word.lstrip("-").partition("=")[0] for word in arguments if word.startswith("-")}
    return not flags.isdisjoint(_ELSEWHERE)


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
