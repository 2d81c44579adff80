"""``servable verify``: compare a dataset's files with their hashes."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import JsonOption
from flows.console import terminal


def verify(
    dataset: Annotated[Path, typer.Argument(help="A dataset folder, as the card names it.")],
    json_output: JsonOption = False,
) -> None:
    """Compare every file of a dataset with the hash taken at ingest."""
    from features.datasets import dataset as datasets

    changed = datasets.load(dataset).verify()
    for record in changed:
        print(
            json.dumps(record) if json_output else f"{record['reason']}: {terminal.printable(record['path'])}"
        )
    if not changed and not json_output:
        terminal.note("every file is as it was")
    raise typer.Exit(65 if changed else 0)
