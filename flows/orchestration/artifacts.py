"""Tables, notes and progress on a Prefect run."""

import math
import time
from collections.abc import Sequence
from typing import Any

from flows.console import terminal
from flows.orchestration.step import flow_run_id, in_flow_run

#: How long a stage goes on before Prefect shows its progress, and between two times that it does.
PROGRESS_SECONDS = 10.0


def show_table(key: str, rows: Sequence[dict], description: str) -> None:
    """Leave a table in the Prefect UI; does nothing outside a flow run."""
    if in_flow_run():
        from prefect.artifacts import create_table_artifact

        table = [{name: _plain(value) for name, value in row.items()} for row in rows]
        create_table_artifact(table=table, key=key, description=description)


def show_markdown(key: str, markdown: str, description: str) -> None:
    """Leave a note in the Prefect UI; does nothing outside a flow run."""
    if in_flow_run():
        from prefect.artifacts import create_markdown_artifact

        create_markdown_artifact(markdown=markdown, key=key, description=description)


def report_progress(stage: str, done: int, total: int | None) -> None:
    """Show progress in the terminal and, for what takes long, as an artifact of the flow run."""
    terminal.report_progress(stage, done, total)
    if total and _due(stage) and in_flow_run():
        bar = (flow_run_id(), stage)
        _bars[bar] = _show_bar(stage, 100 * done / total, _bars.get(bar))


#: When a stage began, or was last shown in Prefect; its artifact, by flow run and stage.
_shown: dict[str, float] = {}
_bars: dict[tuple[Any, str], Any] = {}


def _due(stage: str) -> bool:
    """Return whether a stage has gone on for a while since it began or was shown."""
    now = time.monotonic()
    if now - _shown.setdefault(stage, now) < PROGRESS_SECONDS:
        return False
    _shown[stage] = now
    return True


def _show_bar(stage: str, percent: float, known: Any) -> Any:
    from prefect.artifacts import create_progress_artifact, update_progress_artifact

    if known is None:
        key = artifact_key("progress", stage)
        return create_progress_artifact(progress=percent, key=key, description=f"Progress of {stage}")
    update_progress_artifact(known, progress=percent)
    return known


def name_flow_run(name: str) -> None:
    """Rename the flow run, once it is known what came of it; does nothing outside a flow run."""
    if in_flow_run():
        from prefect.client.orchestration import get_client
        from prefect.runtime import flow_run

        with get_client(sync_client=True) as client:
            client.update_flow_run(flow_run.id, name=name)


def _plain(value: object) -> object:
    """Return what JSON can hold, fractions with four significant digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else str(value)
    return value if isinstance(value, (str, int, type(None))) else str(value)


def artifact_key(*parts: str) -> str:
    """Join parts to a key as Prefect wants it: lower-case letters, digits and hyphens."""
    joined = "-".join(parts).lower()
    return "-".join(
        filter(None, "".join(c if c.isascii() and c.isalnum() else "-" for c in joined).split("-"))
    )
