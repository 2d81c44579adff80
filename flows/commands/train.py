"""``servable train``: from data to a published release."""

import json
from typing import Annotated

import typer

from flows import launch
from flows.commands.options import JsonOption, QuietOption
from flows.commands.training_options import takes_a_request
from flows.console import terminal
from flows.runs.request import Request


@takes_a_request
def train(
    request: Request,
    local: Annotated[bool, typer.Option("--local", help="Run without Prefect.")] = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a model on your data, evaluate it and publish it."""
    with terminal.progress_bars(quiet=quiet):
        summary = launch.run(request, local=local)
    if json_output:
        print(json.dumps(summary))
    else:
        from flows.console import summary as summaries

        summaries.show(summary)
