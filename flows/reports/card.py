"""A training in a few lines of Markdown: what MLflow shows as its description, and Prefect as an artifact."""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from flows.reports.pages.context import Context
from flows.reports.pages.media import Picture
from flows.reports.pages.page import Report, printable
from flows.runs.state import RunState
from flows.tracking.store.descriptions import ARTIFACT

#: Where the report lies among the artifacts of the run in MLflow.
REPORT = "report"

#: Figures shown at most, the deciding one first.
MOST_FIGURES = 12

#: Pictures embedded in an artifact of Prefect at most, and bytes of each.
MOST_PICTURES, LARGEST_PICTURE = 3, 100_000


def card(context: Context, report: Report) -> str:
    """Write the headline, task, data, figures and a link to the report."""
    state, plan, dataset = context.state, context.plan, context.record.dataset
    rows = {
        "task": plan.request.task,
        "recipe": plan.recipe["name"],
        "data": f"{plan.request.data}: {dataset.accepted:,} of {dataset.found:,} examples used",
        "dataset": f"`{dataset.fingerprint[:12]}`",
        "run": f"`{plan.name}/{context.record.run.path.name}`",
    }
    parts = [
        "; ".join(filter(None, (headline(report, state).rstrip("."), report.verdict))),
        table(("", plan.name), rows),
        table(("metric", "value"), figures(state)),
        f"[report]({ARTIFACT}{REPORT}/{context.record.run.report.name})"
        f" · `servable report {plan.name}/{context.record.run.path.name} --open`",
    ]
    return "\n\n".join(filter(None, parts))


def linked(text: str, page: str) -> str:
    """Let links lead to a run's page in the UI of MLflow's server, or drop them where there is none."""
    if page:
        return text.replace(f"]({ARTIFACT}", f"]({page}/artifacts/") + f"\n\n[MLflow run]({page})"
    return re.sub(rf"\[([^]]*)\]\({ARTIFACT}[^)]*\) · ", "", text)


def pictures(report: Report) -> str:
    """Embed the first figures of a report, those that are small."""
    small = [
        figure
        for section in report.sections
        for figure in section.figures
        if len(figure.light) <= LARGEST_PICTURE
    ]
    return "".join(f"\n\n**{cell(each.title)}**\n\n{_shown(each)}" for each in small[:MOST_PICTURES])


def _shown(figure: Picture) -> str:
    return embedded(figure.title, figure.light, figure.mime)


def embedded(title: str, content: bytes, mime: str) -> str:
    """Embed a picture: a browser opens no link to a file from Prefect's page."""
    return f"![{cell(title).replace(']', '')}](data:{mime};base64,{base64.b64encode(content).decode()})"


def headline(report: Report, state: RunState) -> str:
    """Write the main metric with its interval, or by itself; empty if there is none."""
    if figure := report.headline:
        interval = ""
        if figure.low is not None and figure.high is not None:
            interval = f" ({figure.written(figure.low)} to {figure.written(figure.high)})"
        return f"{figure.name} {figure.written(figure.value)}{interval}."
    value = state.metrics.get(state.metric or "")
    return "" if value is None else f"{state.metric} {rounded(value)}."


def figures(state: RunState) -> dict[str, str]:
    """Return the metrics, rounded, the deciding one first."""
    ranked = sorted(state.metrics, key=lambda name: (name != state.metric, name))
    return {name: rounded(state.metrics[name]) for name in ranked[:MOST_FIGURES]}


def rounded(value: float) -> str:
    """Write a number with at most four significant digits."""
    return f"{value:.4g}"


def table(head: tuple[str, str], rows: Mapping[str, str]) -> str:
    """Write a table of two columns; empty if it has no rows."""
    return table_of(head, rows.items()) if rows else ""


def table_of(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table."""
    return "\n".join(_lines(head, rows))


def _lines(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(map(cell, head))} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(cell, row))} |"


def cell(text: object) -> str:
    """Keep what comes from data within its cell."""
    return " ".join(str(printable(text)).replace("|", "\\|").replace("<", "&lt;").split())
