"""The gate: what a Run must pass to become a Release, checked in a fresh process.

``python -m flows.gate.gate`` reads the names of a request and of a verdict file from its input, loads the
candidate as a server would and compares three answers to the same raw examples: the training graph's
(written down by the training process), the SavedModel's, and a live server's over gRPC. Signatures beside
the default one are asked of the live server, which serves that SavedModel.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from features.errors import ExportError
from features.storage.files import write_file
from flows.gate.__main__ import main
from flows.gate.comparison import _serving, metric_checks
from flows.orchestration import artifacts
from flows.orchestration import step as orchestration
from flows.runs.plan import Plan
from flows.runs.run import Record
from serving import leaving
from serving.engine import allocator


@orchestration.step("gate", run_name="gate {plan.name}")
def pass_gate(plan: Plan, record: Record) -> dict[str, Any]:
    """Check the candidate; return the verdict.

    Raises:
        ExportError: it was refused; names the check, what was got and what was expected.
    """
    submit(plan, record)
    record.examiner.wait()
    request, verdict = (json.loads(path.read_text()) for path in _files(record))
    verdict["checks"] += [asdict(check) for check in metric_checks(plan, request, verdict)]
    verdict["passed"] = all(check["passed"] for check in verdict["checks"])
    record.run.record(gate=verdict)
    rows = verdict["checks"]
    artifacts.show_table(artifacts.artifact_key("gate", plan.name), rows, f"Gate of {plan.name}")
    first = refused(verdict)
    if first is not None:
        raise ExportError(
            f"the gate refused {plan.name}: {first['name']}",
            got=first["got"],
            expected=first["expected"],
            todo=f"the report is {record.run.report}; the candidate is kept at {request['candidate']}",
        )
    return verdict


def submit(plan: Plan, record: Record) -> None:
    """Hand the candidate to the gate's process, unless that is done; `pass_gate` waits for the verdict.

    The process loads the candidate, and compares once `record.examiner.proceed` or `pass_gate` is called.
    """
    request, verdict = _files(record)
    if not record.examiner.busy:
        write_file(request, json.dumps(_request(plan, record), indent=1))
        record.examiner.send(request, verdict)


def _files(record: Record) -> tuple[Path, Path]:
    """Return the files of the request and of the verdict."""
    return record.run.path / "gate-request.json", record.run.path / "gate.json"


def refused(verdict: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the first check that a verdict does not pass, or None."""
    return next((check for check in verdict.get("checks", ()) if not check["passed"]), None)


def _request(plan: Plan, record: Record) -> dict[str, Any]:
    from flows.runs.run import candidate, expectations

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


if __name__ == "__main__":
    leave = leaving.QuickExit()
    allocator.keep_memory()
    main()
    leave(0)
