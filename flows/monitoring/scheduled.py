"""A monitoring under Prefect: measured, logged with the model's run, shown as an artifact, and answered."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flows.console import terminal
from flows.monitoring.card import card
from flows.monitoring.monitor import Monitoring, Watch, log, monitor
from flows.monitoring.page import page
from flows.orchestration import artifacts
from flows.reports.pages.page import write
from flows.scheduling import retraining
from flows.scheduling.retraining import Policy, Retraining
from flows.workspace import Workspace


def watch(workspace: Workspace, watched: Watch, policy: Policy | None) -> dict[str, Any]:
    """Monitor a model once.

    Args:
        workspace: where the model is published.
        watched: what is monitored.
        policy: when a drift starts a training; None: never.

    Returns:
        What ``servable monitor --json`` prints; ``started``: whether a training was;
        ``retraining``: which, or why none.
    """
    outcome = monitor(workspace, watched, artifacts.report_progress)
    with TemporaryDirectory(prefix="servable-") as folder:
        html = Path(folder) / "drift.html"
        write(page(outcome), html)
        log(workspace, outcome, [html])
    terminal.note(f"{watched.name} version {outcome.version}: {outcome.verdict}")
    answer = respond(workspace, outcome, policy)
    text = "" if answer is None else answer.text
    key = artifacts.artifact_key("drift", watched.name)
    artifacts.show_markdown(key, card(outcome, text), f"Live examples of {watched.name}")
    artifacts.name_flow_run(f"{watched.name} v{outcome.version} {'drift' if outcome.drifted else 'no drift'}")
    return outcome.as_json() | {"retraining": text or None, "started": bool(answer and answer.started)}


def respond(workspace: Workspace, outcome: Monitoring, policy: Policy | None) -> Retraining | None:
    """Start a training if there is drift and a policy; return what came of it, or None.

    Raises:
        UnavailableError: there is no Prefect server.
        NoInputError: there is no deployment that trains the model.
    """
    if policy is None or not outcome.drifted:
        return None
    answer = retraining.start(workspace, outcome.watch.name, outcome.task, policy)
    terminal.note(answer.text)
    return answer
