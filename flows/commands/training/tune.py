"""``servable tune``: search for better settings, and train the best."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import JsonOption, QuietOption
from flows.commands.training.training_options import takes_a_request
from flows.console import terminal
from flows.runs.plans.request import Request

if TYPE_CHECKING:
    from flows.tuning.search import Outcome


@takes_a_request
def tune(
    request: Request,
    trials: Annotated[int, typer.Option(min=1, help="Number of trials, at most.")] = 20,
    minutes: Annotated[float, typer.Option(min=0.1, help="Minutes that the search takes, at most.")] = 30.0,
    train: Annotated[
        bool, typer.Option("--train/--no-train", help="Train and publish the best settings.")
    ] = True,
    local: Annotated[bool, typer.Option("--local", help="Run without Prefect.")] = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Search for better settings, then train and publish the best.

    Settings are compared on the validation split alone. --set KEY=A,B,C and --set KEY=LOW..HIGH say what is
    tried; --recipe auto tries every recipe of the task. Repeat the command to go on with a search that was
    cut off.
    """
    from flows import launch
    from flows.tuning import space

    space.check(request)
    launch.check(space.plain(request), local=local)
    from flows.console import quiet as quieting

    with quieting.native_stderr():
        from flows.tuning import search as searches

    with terminal.hushed(quiet), terminal.progress_bars(quiet=quiet):
        outcome = searches.search(request, searches.Limits(trials, minutes))
        summary = launch.run(outcome.request, local=local) if train else None
    if json_output:
        fields = {key: value for key, value in asdict(outcome).items() if key not in ("request", "folder")}
        print(json.dumps(fields | {"overrides": list(outcome.request.overrides), "training": summary}))
        return
    if not quiet:
        _show_trials(outcome)
    print(outcome.headline)
    print(f"report of the search: {outcome.folder / 'report.html'}")
    if summary is not None:
        from flows.console import summary as summaries

        summaries.show(summary, quiet=quiet)


def _show_trials(outcome: "Outcome") -> None:
    ordered = sorted(outcome.trials, key=lambda row: (row["value"] is None, row["number"]))
    rows = [
        (
            row["number"],
            row["state"],
            _cell(row["value"]),
            _settings(row["params"]),
        )
        for row in ordered
    ]
    terminal.table("trials", ("trial", "state", outcome.metric, "settings"), rows)


def _settings(params: Mapping[str, object]) -> str:
    return ", ".join(f"{key}={_cell(value)}" for key, value in params.items())


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
