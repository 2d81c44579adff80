"""``servable version``: the version of Servable and of what it is built on."""

import json

import typer

from flows.commands.options import JsonOption


def version(json_output: JsonOption = False) -> None:
    """Print the versions of Servable, Python and libraries.

    Libraries are those that can change a result.
    """
    from flows.runs import provenance

    versions = provenance.versions()
    if json_output:
        print(json.dumps(versions))
    else:
        for name, number in versions.items():
            print(f"{name} {number}")


def print_version(value: bool) -> None:
    """Print the version of Servable alone and exit, where ``--version`` asks for it."""
    if value:
        import importlib.metadata

        print(f"servable {importlib.metadata.version('servable')}")
        raise typer.Exit
