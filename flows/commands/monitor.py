"""``servable monitor``: live inputs and answers against the training examples."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import JsonOption, QuietOption, WorkspaceOption, versioned
from flows.console import terminal
from flows.workspace import Workspace

#: Exit code where live examples have drifted.
DRIFT = 3


def monitor(
    name: Annotated[str, typer.Argument(help="Name of the model, or NAME@VERSION.")],
    data: Annotated[
        str, typer.Option(help="Live inputs: a folder, archive, table or file, or a server's request log.")
    ],
    input_column: Annotated[
        str | None,
        typer.Option(help="Column of a table with the texts or the paths of files.", metavar="NAME"),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with the worst examples.", metavar="FILE")
    ] = None,
    alpha: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Probability of any false alarm, at most.")
    ] = 0.01,
    effect: Annotated[float, typer.Option(min=0.0, help="Smallest PSI that counts as drift.")] = 0.05,
    most: Annotated[int, typer.Option(min=20, help="Live examples that are looked at.")] = 5000,
    workspace: WorkspaceOption = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> int:
    """Compare live inputs and the model's answers with the training examples; exit code 3 for drift."""
    from flows.console import quiet as quieting

    place = Workspace.existing(workspace)
    with quieting.native_stderr():
        from flows.monitoring import monitor as monitoring
        from flows.monitoring import page as pages
        from flows.reports import page

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
        print(json.dumps(outcome.as_json()))
    else:
        terminal.table("", pages.COLUMNS, pages.rows(outcome.shifts))
        print(outcome.verdict)
    if refused := outcome.live.refused:
        terminal.note(f"{len(refused):,} inputs could not be answered, such as: {refused[0].error}")
    return DRIFT if outcome.drifted else 0
