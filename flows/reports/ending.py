"""The sections that every report ends with."""

from collections.abc import Iterator

import yaml

from flows.reports import dataset as datasets
from flows.reports.context import Context
from flows.reports.page import Section, Tone
from flows.reports.sections import parts
from flows.runs.provenance import command_line, git_commit, versions
from flows.runs.state import RunState


def outcome(state: RunState) -> tuple[str, Tone]:
    """Return the page's verdict and its tone: the version published, or why the gate refused it."""
    if state.version is not None:
        return f"published as version {state.version}", "good"
    check = state.gate.refusal if state.gate is not None else None
    why = f": {check.name}, got {check.got}, expected {check.expected}" if check else ""
    return f"refused by the gate{why}", "bad"


def latency(context: Context) -> Iterator[Section]:
    """Show how long the candidate takes to answer, where the gate came to that."""
    if (verdict := context.state.gate) and verdict.latency_ms:
        yield parts.latency(verdict.latency_ms, "One example at a time through the exported model.")


def dataset(context: Context) -> Iterator[Section]:
    """Show where every example went, and what the targets are."""
    yield datasets.describe(context.dataset.card)


def gate(context: Context) -> Iterator[Section]:
    """Tabulate what the gate checked."""
    if verdict := context.state.gate:
        yield parts.checks(
            [
                [check.name, check.got, check.expected, "passed" if check.passed else "refused"]
                for check in verdict.checks
            ]
        )


def reproduction(context: Context) -> Iterator[Section]:
    """Show recipe, command and versions."""
    values = {
        "seed": context.plan.request.seed,
        "dataset": context.record.dataset.fingerprint[:16],
        "weights": context.state.weights_hash,
        "MLflow run": context.record.tracked.run_id,
        "commit": git_commit()[:12],
    }
    facts = {name: value for name, value in (values | versions()).items() if value}
    yield parts.reproduction(yaml.safe_dump(context.plan.recipe, sort_keys=False), command_line(), facts)
