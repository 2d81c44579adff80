"""``servable train``: from data to a published release."""

import json
from typing import Annotated, Any

import typer

from features.names import printable
from flows.commands.options import JsonOption, QuietOption
from flows.commands.training.training_options import takes_a_request
from flows.console import terminal
from flows.runs.plans.request import Request

#: Refused entries that a preview lists.
_REFUSED = 10


@takes_a_request
def train(
    request: Request,
    local: Annotated[bool, typer.Option("--local", help="Run without Prefect.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Read the data and show what would be trained."),
    ] = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a model on your data, evaluate it and publish it."""
    from flows import launch

    with terminal.hushed(quiet), terminal.progress_bars(quiet=quiet):
        if dry_run:
            _preview(launch.preview(request), json_output)
            return
        summary = launch.run(request, local=local)
    if json_output:
        print(json.dumps(summary))
    else:
        from flows.console import summary as summaries

        summaries.show(summary, quiet=quiet)


def _preview(preview: dict[str, Any], json_output: bool) -> None:
    """Show what a training would be made of."""
    if json_output:
        print(json.dumps({key: preview[key] for key in ("recipe", "dataset", "refused")}))
        return
    import yaml

    from flows.reports import dataset as datasets

    for line in preview["lines"]:
        print(printable(line))
    for record in preview["refused"][:_REFUSED]:
        print(printable(f"  refused: {record['path']}: {record['reason']}, {record['detail']}"))
    for table in datasets.of_targets(preview["dataset"]):
        terminal.table(table.caption, table.columns, [[_cell(cell) for cell in row] for row in table.rows])
    print()
    print(yaml.safe_dump(preview["recipe"], sort_keys=False), end="")


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
