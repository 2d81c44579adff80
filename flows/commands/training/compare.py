"""``servable compare``: two models on the same test split."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import JsonOption, QuietOption, WorkspaceOption, versioned
from flows.console import terminal
from flows.workspace import Workspace


def compare(
    first: Annotated[str, typer.Argument(help="Model, version or run: pets, pets@1, pets/RUN.")],
    second: Annotated[str, typer.Argument(help="Another one, measured on the test split of the first.")],
    html: Annotated[Path | None, typer.Option(help="Write a page with the examples.", metavar="FILE")] = None,
    workspace: WorkspaceOption = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Compare two models on the same examples.

    Shows their metrics with an interval of the difference, and the examples on which they disagree.
    """
    from flows.console import quiet as quieting
    from flows.runs import listing

    place = Workspace.existing(workspace)
    for model, version in map(versioned, (first, second)):
        listing.find(place, model, version)
    with quieting.native_stderr():
        from flows.reports import comparison as comparisons
        from flows.reports.pages import page

    with terminal.hushed(quiet), terminal.progress_bars(quiet=quiet):
        comparison = comparisons.compare(place, versioned(first), versioned(second), terminal.report_progress)
    if html is not None:
        page.write(comparisons.page(comparison), html)
        if not quiet:
            terminal.note(f"page: {html}")
    if json_output:
        print(json.dumps(comparison.as_json()))
        return
    if quiet:
        print(comparison.verdict)
        return
    rows = [
        (
            each.metric,
            *(f"{value:.4f}" for value in (each.first, each.second)),
            f"{each.difference:+.4f}",
            f"{each.low:+.4f} to {each.high:+.4f}",
        )
        for each in comparison.metrics
    ]
    terminal.table("", ("metric", first, second, "difference", "95 % interval"), rows)
    print(comparison.verdict)
    if comparison.seen:
        terminal.note(f"{second} was trained on {comparison.seen:,} of the {comparison.examples:,} examples")
    disagreements = comparison.disagreements.head(_SHOWN)
    cells = [
        (row.name, row.target or "-", *comparisons.answers(row))
        for row in disagreements.itertuples(index=False)
    ]
    if cells:
        print()
        terminal.table(
            f"{len(comparison.disagreements):,} disagreements", ("example", "true", first, second), cells
        )


#: Disagreements that the terminal shows.
_SHOWN = 10
