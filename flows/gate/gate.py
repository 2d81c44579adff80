"""The gate: what a Run must pass to become a Release, checked in a fresh process.

``python -m flows.gate.gate`` reads the names of a request and of a verdict file from its input, loads the
candidate as a server would and compares three answers to the same raw examples: the training graph's
(written down by the training process), the SavedModel's, and a live server's over gRPC. Signatures beside
the default one are asked of the live server, which serves that SavedModel.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from features.errors import ExportError
from flows.orchestration import step as orchestration
from flows.runs.plan import Plan
from flows.runs.run import Record
from flows.workspace import write_atomically
from serving.engine import allocator
from serving import leaving
from serving.repository.repository import Repository


@dataclass(frozen=True)
class Check:
    """One thing the gate looked at."""

    name: str
    passed: bool
    got: str
    expected: str


@orchestration.step("gate", run_name="gate {plan.name}")
def pass_gate(plan: Plan, record: Record) -> dict[str, Any]:
    """Check the candidate; return the verdict.

    Raises:
        ExportError: it was refused; names the check, what was got and what was expected.
    """
    request = _request(plan, record)
    asked, answered = record.run.path / "gate-request.json", record.run.path / "gate.json"
    write_atomically(asked, json.dumps(request, indent=1))
    record.examiner.ask(asked, answered)
    verdict = json.loads(answered.read_text())
    verdict["checks"] += [asdict(check) for check in metric_checks(plan, request, verdict)]
    verdict["passed"] = all(check["passed"] for check in verdict["checks"])
    record.run.record(gate=verdict)
    rows = verdict["checks"]
    orchestration.show_table(orchestration.artifact_key("gate", plan.name), rows, f"Gate of {plan.name}")
    first = refused(verdict)
    if first is not None:
        raise ExportError(
            f"the gate refused {plan.name}: {first['name']}",
            got=first["got"],
            expected=first["expected"],
            todo=f"the report is {record.run.report}; the candidate is kept at {request['candidate']}",
        )
    return verdict


def refused(verdict: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the first check that a verdict does not pass, or None."""
    return next((check for check in verdict.get("checks", ()) if not check["passed"]), None)


def _request(plan: Plan, record: Record) -> dict[str, Any]:
    from flows.steps.export import candidate, expectations

    state = record.run.read()
    metrics = state["metrics"]
    return {
        "candidate": str(candidate(plan, record)),
        "expectations": str(expectations(record)),
        "model": plan.name,
        "input": plan.task.raw.input,
        "signatures": state["signatures"],
        "settings": plan.recipe["gate"],
        "metric": {"name": plan.task.objective.report, "value": metrics.get(plan.task.objective.report)},
        "serving": _serving(plan, record),
    }


def _serving(plan: Plan, record: Record) -> dict[str, Any] | None:
    """Describe the stable release, and its metric where it was measured on this very test split."""
    repository = Repository(plan.workspace.repository)
    stable = repository.stable(plan.name)
    if stable is None:
        return None
    release = repository.release(plan.name, stable)
    described = {
        "version": stable,
        "path": str(release.path),
        "dataset": record.dataset["directory"],
        "value": None,
    }
    objective = plan.task.objective
    same = release.manifest.get("dataset", {}).get("fingerprint") == record.dataset["fingerprint"]
    if same or objective.anywhere:
        described["value"] = release.manifest.get("metrics", {}).get(objective.report)
    if release.manifest.get("dataset", {}).get("columns") != record.dataset.get("columns"):
        described |= {"value": None, "note": "it takes other columns"}
    elif described["value"] is None and (objective.anywhere or not objective.repeatable):
        described["note"] = "it was not measured" if same or objective.anywhere else "its data were others"
    return described


def metric_checks(plan: Plan, request: dict[str, Any], verdict: dict[str, Any]) -> Iterator[Check]:
    """Compare the deciding metric with the floor and with the serving version's on the same test split."""
    settings, objective = plan.gate, plan.task.objective
    name, value = request["metric"]["name"], request["metric"]["value"]
    if settings.min_metric is not None:
        passed = value is not None and not objective.better(settings.min_metric, value)
        got = "not measured" if value is None else f"{value:.4f}"
        yield Check("metric", passed, f"{name} {got}", f"at least {settings.min_metric:.4f}")
    serving = verdict.get("serving")
    if serving is None:
        return
    if serving["value"] is None or value is None:
        note = "this one was not measured" if value is None else serving["note"]
        yield Check("not worse than serving", True, f"not compared: {note}", "the same measure")
        return
    worse = objective.better(serving["value"], value, settings.max_regression)
    accepted = worse and plan.request.accept_worse
    got = f"{name} {value:.4f}{' (accepted by --accept-worse)' if accepted else ''}"
    expected = (
        f"{serving['value']:.4f} of version {serving['version']}, less at most {settings.max_regression:g}"
    )
    if worse and not accepted:
        expected += "; --accept-worse publishes it all the same"
    yield Check("not worse than serving", not worse or accepted, got, expected)


def examine(request: dict[str, Any]) -> dict[str, Any]:
    """Run all checks on a candidate in this process.

    Returns:
        ``checks``: a list of Check as dicts; ``latency_ms``; ``serving``: the serving version's
        metric on the same test split, or why there is none.
    """
    from flows.gate.checks import Examination

    examination = Examination(request)
    checks: list[Check] = []
    steps: list[Callable[[], Iterator[Check]]] = examination.steps()
    for step in steps:
        try:
            for check in step():
                checks.append(check)
                if not check.passed:
                    break
        except Exception as error:
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
            checks.append(Check(step.__name__.strip("_").replace("_", " "), False, text, "no error"))
        if checks and not checks[-1].passed:
            break
    examination.close()
    verdict = {"checks": [asdict(check) for check in checks], "latency_ms": examination.latency}
    passed = all(check.passed for check in checks)
    return verdict | {"serving": examination.serving_metric() if passed else None, "at": time.time()}


def main() -> None:
    """Examine the candidate that the two lines of the input name."""
    from flows.gate import checks as gate_checks  # noqa: F401  (imported before the question comes)

    asked, answered = (Path(sys.stdin.readline().rstrip("\n")) for _ in range(2))
    if asked.is_file():
        write_atomically(answered, json.dumps(examine(json.loads(asked.read_text()))))


if __name__ == "__main__":
    leave = leaving.QuickExit()
    allocator.keep_memory()
    main()
    leave(0)
