"""``servable verify``: compare the files of a dataset with their hashes."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import JsonOption
from flows.console import terminal


def verify(
    dataset: Annotated[Path, typer.Argument(help="Folder of the dataset.")],
    json_output: JsonOption = False,
) -> None:
    """Check that the files of a dataset are unchanged since ingest."""
    from features.datasets import dataset as datasets

    changed = datasets.load(dataset).verify()
    for record in changed:
        print(
            json.dumps(record) if json_output else f"{record['reason']}: {terminal.printable(record['path'])}"
        )
    if not changed and not json_output:
        terminal.note("all files are unchanged")
    raise typer.Exit(65 if changed else 0)
