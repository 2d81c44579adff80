"""Check a foreign model, publish it, and register it: served, promoted and rolled back as our own are."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from features.errors import ExportError, InternalError, NoInputError
from features.storage.trees import sha256
from flows.imports import source as sources
from flows.imports.source import Source
from flows.orchestration.examiner import Examiner
from flows.promotion import moves
from flows.runs.provenance import versions
from flows.runs.state import Check, Verdict
from flows.tracking import tracking
from flows.workspace import Workspace
from serving.repository.release import Release
from serving.repository.repository import Repository

#: What MLflow and the list of models call it in place of a task.
KIND = "imported"


def publish(
    workspace: Workspace,
    origin: str,
    name: str,
    *,
    example: Path | None = None,
    allow_ops: Sequence[str] = (),
) -> dict[str, Any]:
    """Publish a model that was trained elsewhere, if it passes the gate.

    Args:
        workspace: whose repository takes it.
        origin: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, folder of a SavedModel or ``.keras`` file.
        name: of the model here.
        example: file with the body of a predict request, in TensorFlow Serving's JSON.
        allow_ops: ops to allow beyond the list of safe ones.

    Returns:
        model, version, release, signatures, notes.

    Raises:
        NoInputError, DataError: there is no such model, or it is of another kind.
        ExportError: the gate refuses it; names the op or the reason.
    """
    tracking.tracking_uri(workspace)
    body = _body(example)
    workspace.candidates.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=workspace.candidates) as folder:
        source = sources.find(origin, workspace, Path(folder) / "download")
        directory = Path(folder) / "base" / "1"
        verdict, findings = _examined(source, name, directory, body, allow_ops)
        manifest = {
            "task": KIND,
            "imported": origin,
            "signatures": findings["signatures"],
            "metrics": {},
            "gate": verdict.model_dump(mode="json"),
            "versions": versions(),
        }
        repository = Repository(workspace.repository)
        before = moves.labels(repository, name)
        release = repository.publish(name, directory, manifest, promote=True)
    _register(workspace, release, origin, before)
    return {
        "model": name,
        "version": release.version,
        "release": str(release.path),
        "signatures": findings["signatures"],
        "notes": findings["notes"],
    }


def _body(example: Path | None) -> str | None:
    try:
        return None if example is None else example.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NoInputError("cannot read the example", got=f"{example}: {error}") from error


def _examined(
    source: Source, name: str, directory: Path, example: str | None, allow_ops: Sequence[str]
) -> tuple[Verdict, dict[str, Any]]:
    """Examine a model in a process of its own, which alone loads it.

    Raises:
        ExportError: a check was not passed, or the process died of the model.
    """
    request_file, verdict_file = (
        directory.parent.parent / "request.json",
        directory.parent.parent / "verdict.json",
    )
    request = {
        "path": str(source.path),
        "keras": source.keras,
        "directory": str(directory),
        "model": name,
        "example": example,
        "allow_ops": list(allow_ops),
    }
    request_file.write_text(json.dumps(request))
    examiner = Examiner(directory.parent.parent / "examination.log", "flows.imports")
    examiner.send(request_file, verdict_file)
    try:
        examiner.wait()
    except InternalError as error:
        last = (examiner.log.read_text(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise ExportError(
            f"the gate refused {source.origin}: its process ended",
            got=f"{error.got}: {last[:200]}",
            expected="a model that can be loaded",
        ) from error
    findings = json.loads(verdict_file.read_text())
    verdict = Verdict(checks=tuple(Check(**check) for check in findings["checks"]))
    if refusal := verdict.refusal:
        raise ExportError(
            f"the gate refused {source.origin}: {refusal.name}", got=refusal.got, expected=refusal.expected
        )
    return verdict, findings


def _register(workspace: Workspace, release: Release, origin: str, before: dict[str, int | None]) -> None:
    """Register a release in MLflow, as an own run of the model's experiment, and make it champion."""
    content = sha256(next(iter(sorted(release.path.glob("saved_model.pb*")))))
    with tracking.open_tracking(workspace) as ledger:
        run = ledger.start(
            release.model,
            run_name=f"{release.model} {KIND} v{release.version} {content[:6]}",
            key=f"{release.model}/{KIND}-{release.version}",
            params={"source": origin},
            tags={"servable.task": KIND, "servable.data": origin},
        )
        text = f"Imported from `{origin}`."
        run.register(
            release.path,
            release.model,
            release=release.version,
            tags={"task": KIND},
            description=text,
            kind=KIND,
        )
        run.describe(text)
        run.finish()
        moves.send_aliases(ledger, Repository(workspace.repository), release.model, before)
