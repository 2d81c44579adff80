"""``servable monitor``: live inputs and answers against the training examples."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import JsonOption, QuietOption, WorkspaceOption, versioned
from flows.console import terminal
from flows.workspace import Workspace

LiveDataOption = Annotated[
    str,
    typer.Option("--data", help="Live inputs: a folder, archive, table or file, or a server's request log."),
]
InputColumnOption = Annotated[
    str | None,
    typer.Option(help="Column of a table with the texts or the paths of files.", metavar="NAME"),
]
AlphaOption = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Probability of any false alarm, at most.")
]
EffectOption = Annotated[float, typer.Option(min=0.0, help="Smallest PSI that counts as drift.")]
MostOption = Annotated[
    int,
    typer.Option(min=20, help="Number of live examples to look at, at most; of a request log the latest."),
]
RetrainOption = Annotated[
    bool,
    typer.Option("--retrain", help="On drift, start the model's scheduled training (servable schedule)."),
]
CooldownOption = Annotated[
    float,
    typer.Option(
        min=0.0, help="Hours after the start of a training before --retrain starts another.", metavar="HOURS"
    ),
]
DeploymentOption = Annotated[
    str | None,
    typer.Option(help="Start this deployment of Prefect instead of the model's.", metavar="FLOW/NAME"),
]

#: Exit code where live examples have drifted.
DRIFT = 3


def monitor(
    name: Annotated[str, typer.Argument(help="Name of the model, or NAME@VERSION.")],
    data: LiveDataOption,
    input_column: InputColumnOption = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with the worst examples.", metavar="FILE")
    ] = None,
    alpha: AlphaOption = 0.04,
    effect: EffectOption = 0.05,
    most: MostOption = 5000,
    retrain: RetrainOption = False,
    cooldown: CooldownOption = 24.0,
    deployment: DeploymentOption = None,
    workspace: WorkspaceOption = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> int:
    """Compare live inputs and answers with the training examples.

    Exit code 3 means drift.
    """
    from flows.console import quiet as quieting

    place = Workspace.existing(workspace)
    with quieting.native_stderr():
        from flows.monitoring import monitor as monitoring
        from flows.monitoring import page as pages
        from flows.monitoring import scheduled
        from flows.reports.pages import page
        from flows.scheduling.retraining import Policy

    model, version = versioned(name)
    watch = monitoring.Watch(model, data, version, input_column, alpha, effect, most)
    with terminal.progress_bars(quiet=quiet):
        outcome = monitoring.monitor(place, watch, terminal.report_progress)
    if html is not None:
        page.write(pages.page(outcome), html)
        terminal.note(f"page: {html}")
    if not monitoring.log(place, outcome, [html] if html is not None else []):
        terminal.note(f"{model} has no MLflow run; nothing is logged")
    if json_output:
        print(json.dumps(outcome.as_json()), flush=True)
    else:
        terminal.table("", pages.COLUMNS, pages.rows(outcome.shifts))
        print(outcome.verdict)
    if refused := outcome.live.refused:
        terminal.note(f"{len(refused):,} inputs could not be answered, such as: {refused[0].error}")
    scheduled.respond(place, outcome, Policy(cooldown, deployment) if retrain else None)
    return DRIFT if outcome.drifted else 0
