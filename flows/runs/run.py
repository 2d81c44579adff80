"""One training's record: run folder, dataset and tracked MLflow run, opened and closed together."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.datasets import dataset as datasets
from features.datasets import folds
from features.errors import ExportError, ServableError
from features.storage import objects
from flows.console import run_log, terminal
from flows.orchestration.examiner import Examiner
from flows.orchestration.outcome import scheduled
from flows.runs.directory import RunDirectory, open_run
from flows.runs.networks import Networks
from flows.runs.plans.plan import Plan
from flows.runs.provenance import (
    command_line,
    fingerprint_of_code,
    git_branch,
    git_commit,
    git_repository,
    origin,
    user,
    versions,
)
from flows.runs.state import DatasetReference
from flows.tracking.store.tags import VERSION

if TYPE_CHECKING:
    from flows.tracking.tracked_run import TrackedRun
    from flows.tracking.tracking import Tracking

#: What ends a run is said on the terminal by whoever catches it.
log = logging.getLogger(terminal.LOGGER)


@dataclass(frozen=True)
class Record:
    """What the steps of one training share: references, and the open MLflow run.

    Attributes:
        networks: the network of this training.
        kept: what a step computed for later ones, by name; they compute it themselves where it is missing.
    """

    run: RunDirectory
    dataset: DatasetReference
    tracked: "TrackedRun"
    tracking: "Tracking"
    examiner: Examiner
    networks: Networks = field(default_factory=Networks)
    kept: dict[str, Any] = field(default_factory=dict)

    def load_dataset(self) -> datasets.Dataset:
        """Read the dataset's manifest, as this training sees it."""
        return seen(self.dataset)


def seen(dataset: DatasetReference) -> datasets.Dataset:
    """Read the manifest of the dataset that a run describes, as its training saw it."""
    whole = datasets.load(Path(dataset.directory))
    return whole if dataset.fold is None else folds.view(whole, dataset.fold)


@contextmanager
def open_record(
    plan: Plan,
    dataset: DatasetReference,
    *,
    parent: Record | None = None,
    label: str = "",
    run: RunDirectory | None = None,
) -> Iterator[Record]:
    """Open a new run, or the one that was cut off, and close it with the state it ends in.

    Args:
        plan: of the training.
        dataset: what ingest returned.
        parent: of a nested run; it is told to MLflow through the parent's connection.
        label: names a nested run.
        run: to go on with, whatever its state; None for the one of the plan's key.
    """
    key = plan.key(dataset.fingerprint)
    code = fingerprint_of_code()
    run = run or open_run(plan.workspace, plan.name, key, restart=plan.request.restart, code=code)
    with run_log.opened(run.log):
        log.info("run %s of %s in process %d", run.path.name, plan.name, os.getpid())
        try:
            with _opened(plan, dataset, run, (key, code), parent, label) as record:
                yield record
        except Exception as error:
            unforeseen = not isinstance(error, ServableError)
            log.error("%s: %s", type(error).__name__, error, exc_info=unforeseen)
            if parent is None:
                error.add_note(f"The log is {run.log}")
            raise


@contextmanager
def _opened(
    plan: Plan,
    dataset: DatasetReference,
    run: RunDirectory,
    keys: tuple[str, str],
    parent: Record | None,
    label: str,
) -> Iterator[Record]:
    from flows.tracking import tracking

    ledger = tracking.open_tracking(plan.workspace) if parent is None else parent.tracking
    nested = parent.tracked.run_id if parent is not None else None
    tracked = ledger.start(
        plan.name,
        run_name=run_label(plan, run, label),
        key=f"{plan.name}/{run.path.name}",
        params=_params(plan),
        tags=_tags(plan)
        | {"servable.run": f"{plan.name}/{run.path.name}"}
        | ({"mlflow.parentRunId": nested} if nested else {}),
    )
    tracked.dataset(
        Path(plan.request.data).name,
        fingerprint=dataset.fingerprint,
        source=objects.absolute(plan.request.data),
        profile=dataset.counts(),
    )
    _note_start(plan, dataset, run, keys)
    record = Record(run, dataset, tracked, ledger, Examiner(run.path / "gate.log"))
    try:
        with _ending(record):
            yield record
    finally:
        if parent is None:
            ledger.close()


def _note_start(plan: Plan, dataset: DatasetReference, run: RunDirectory, keys: tuple[str, str]) -> None:
    key, code = keys
    before = run.read()
    run.record(
        state="running",
        # Weights that are trained already come from the process that trained them.
        origin=before.origin if before.weights_hash else origin(),
        key=key,
        # Weights that stand there already are those of the code that made them.
        code=before.code if run.weights.is_file() else code,
        pid=os.getpid(),
        recipe=plan.recipe,
        seed=plan.request.seed,
        dataset=dataset,
        metric=plan.task.objective.report,
        unchanged=None,
    )


@contextmanager
def _ending(record: Record) -> Iterator[None]:
    """Note how the body ends in the run's state and in MLflow."""
    run, tracked = record.run, record.tracked
    status, note = "FAILED", ""
    try:
        yield
        status = "FINISHED"
    except ExportError as error:
        run.record(state="refused")
        note = str(error)
        tracked.tags({"servable.refused": note})
        tracked.describe(f"Refused: {note}\n\n{tracked.description}")
        raise
    except (KeyboardInterrupt, SystemExit) as error:
        status, note = "KILLED", type(error).__name__
        raise
    except ServableError as error:
        status, note = "KILLED" if error.exit_code in (130, 143) else "FAILED", str(error)
        raise
    except Exception as error:
        note = f"{type(error).__name__}: {error}"
        raise
    finally:
        record.examiner.stop()
        if status == "FINISHED":
            run.record(state="finished")
        elif run.read().state == "running":
            run.record(state=status.lower())
        tracked.finish(status, note)


def _params(plan: Plan) -> dict[str, Any]:
    flat: dict[str, Any] = {"seed": plan.request.seed}
    _flatten("", plan.recipe, flat)
    return flat


def _flatten(prefix: str, value: Any, into: dict[str, Any]) -> None:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            _flatten(f"{prefix}.{key}" if prefix else str(key), inner, into)
    else:
        into[prefix] = value


def _tags(plan: Plan) -> dict[str, str]:
    return {
        "servable.task": plan.request.task,
        "servable.data": plan.request.data,
        **{f"{VERSION}{name}": version for name, version in versions().items()},
        **{f"mlflow.{name}": value for name, value in _source().items() if value},
    }


def _source() -> dict[str, str]:
    """Return who started what, and from which code, under the names that MLflow shows."""
    commit = git_commit()
    return {
        "user": user(),
        "source.name": command_line() or "servable",
        "source.type": "JOB" if scheduled() else "LOCAL",
        "source.git.commit": commit.removesuffix("-dirty"),
        "source.git.dirty": str(commit.endswith("-dirty")) if commit else "",
        "source.git.branch": git_branch(),
        "source.git.repoURL": git_repository(),
    }


def run_label(plan: Plan, run: RunDirectory, label: str = "") -> str:
    """Name a run for people: model, recipe, version once there is one, and what tells it from others.

    Args:
        plan: of the training.
        run: its folder, which is named by the key and a number.
        label: of a nested run.
    """
    version, (key, _, number) = run.read().version, run.path.name.partition("-")
    parts = (
        plan.name,
        plan.recipe["name"],
        label,
        f"v{version}" if version is not None else "",
        key[:6] if number in ("", "1") else f"{key[:6]}-{number}",
    )
    return " ".join(filter(None, parts))


def candidate(plan: Plan, record: Record) -> Path:
    """Return the candidate's folder, named like a version so that a server can load it."""
    return plan.workspace.candidates / plan.name / record.run.path.name / "1"


def expectations(record: Record) -> Path:
    """Return the folder with raw examples and the training graph's answers."""
    return record.run.path / "parity"
