"""The gate: what a Run must pass to become a Release, checked in a fresh process.

``python -m flows.gate`` reads requests from its input, and for each has a fork of itself load the candidate
as a server would and compare three answers to the same raw examples: the training graph's (written down by
the training process), the SavedModel's, and a live server's over gRPC. Signatures beside the default one are
asked of the live server, which serves that SavedModel.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from features.errors import ExportError
from features.storage.files import write_file
from flows.gate.comparison import METRIC_CHECKS, _serving, metric_checks
from flows.orchestration import artifacts
from flows.orchestration import step as orchestration
from flows.runs.directory import RunDirectory
from flows.runs.plans.plan import Plan
from flows.runs.run import Record
from flows.runs.state import Verdict


@orchestration.step("gate", run_name="gate {plan.name}")
def pass_gate(plan: Plan, record: Record) -> Verdict:
    """Check the candidate; return the verdict.

    Raises:
        ExportError: it was refused; names the check, what was got and what was expected.
    """
    submit(plan, record)
    record.examiner.wait()
    request_file, verdict_file = _files(record)
    request, verdict = (
        json.loads(request_file.read_text()),
        Verdict.model_validate_json(verdict_file.read_text()),
    )
    verdict = verdict.with_checks(*metric_checks(plan, request, verdict))
    record.run.record(gate=verdict)
    rows = [asdict(check) for check in verdict.checks]
    artifacts.show_table(artifacts.artifact_key("gate", plan.name), rows, f"Gate of {plan.name}")
    if refusal := verdict.refusal:
        raise ExportError(
            f"the gate refused {plan.name}: {refusal.name}",
            got=refusal.got,
            expected=refusal.expected,
            todo=f"the report is {record.run.report}; the candidate is kept at {request['candidate']}"
            + (f"; {_publishing(plan, record)}" if refusal.name in METRIC_CHECKS else ""),
        )
    return verdict


def _publishing(plan: Plan, record: Record) -> str:
    """Write the command that publishes a candidate which was refused for its metric alone."""
    return f"to publish it: servable publish {plan.name}/{record.run.path.name} --accept-worse --reason TEXT"


def accepted(run: RunDirectory, reason: str) -> Verdict:
    """Turn a refusal for the metric into an acceptance, with the reason.

    Raises:
        ExportError: the candidate was refused for something else.
    """
    verdict = run.read().gate
    refusal = verdict.refusal if verdict is not None else None
    if verdict is None or refusal is None or refusal.name not in METRIC_CHECKS:
        raise ExportError(
            f"the run {run.path.name} cannot be published",
            got="no verdict of the gate" if refusal is None else f"refused for {refusal.name}: {refusal.got}",
            expected=f"a run that was refused for {' or '.join(METRIC_CHECKS)} alone",
            todo="train again",
        )
    check = replace(refusal, passed=True, got=f"{refusal.got} (accepted: {reason})")
    return verdict.model_copy(update={"checks": (*verdict.checks[:-1], check)})


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


def _request(plan: Plan, record: Record) -> dict[str, Any]:
    from flows.runs.run import candidate, expectations

    state = record.run.read()
    return {
        "candidate": str(candidate(plan, record)),
        "expectations": str(expectations(record)),
        "model": plan.name,
        "task": plan.task.name,
        "input": plan.task.raw.input,
        "signatures": list(state.signatures),
        "settings": plan.recipe["gate"],
        "metric": {
            "name": plan.task.objective.report,
            "value": state.metrics.get(plan.task.objective.report),
        },
        "serving": _serving(plan, record),
    }
