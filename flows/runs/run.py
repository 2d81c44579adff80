"""One training's record: run folder, dataset and tracked MLflow run, opened and closed together."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.datasets import dataset as datasets
from features.datasets import folds
from features.errors import ExportError, ServableError
from flows.orchestration.warm_process import Examiner
from flows.runs.plan import Plan
from flows.workspace import RunDirectory, open_run

if TYPE_CHECKING:
    from flows.tracking.tracked_run import TrackedRun
    from flows.tracking.tracking import Tracking

#: Libraries whose version can change a result.
LIBRARIES = (
    "servable",
    "tensorflow",
    "keras",
    "tensorflow-hub",
    "numpy",
    "pandas",
    "pillow",
    "mlflow",
    "prefect",
)


@dataclass(frozen=True)
class Record:
    """What the steps of one training share: references, and the open MLflow run.

    Attributes:
        kept: what a step computed for later ones, by name; they compute it themselves where it is missing.
    """

    run: RunDirectory
    dataset: dict[str, Any]
    tracked: "TrackedRun"
    tracking: "Tracking"
    examiner: Examiner
    kept: dict[str, Any] = field(default_factory=dict)

    def load_dataset(self) -> datasets.Dataset:
        """Read the dataset's manifest, as this training sees it."""
        return seen(self.dataset)


def seen(dataset: Mapping[str, Any]) -> datasets.Dataset:
    """Read the manifest of the dataset that a run describes, as its training saw it."""
    whole = datasets.load(Path(dataset["directory"]))
    return folds.view(whole, dataset["fold"]) if "fold" in dataset else whole


@contextmanager
def open_record(
    plan: Plan, dataset: dict[str, Any], *, parent: Record | None = None, label: str = ""
) -> Iterator[Record]:
    """Open a new run, or the one that was cut off, and close it with the state it ends in.

    Args:
        plan: of the training.
        dataset: what ingest returned.
        parent: of a nested run; it is told to MLflow through the parent's connection.
        label: names a nested run.
    """
    from flows.tracking import tracking

    key = plan.key(dataset["fingerprint"])
    run = open_run(plan.workspace, plan.name, key, restart=plan.request.restart)
    ledger = tracking.open_tracking(plan.workspace) if parent is None else parent.tracking
    nested = {"mlflow.parentRunId": parent.tracked.run_id or ""} if parent is not None else {}
    tracked = ledger.start(
        plan.name,
        run_name=f"{run.path.name} {label}".rstrip(),
        key=f"{plan.name}/{run.path.name}",
        params=_params(plan),
        tags=_tags(plan) | {name: value for name, value in nested.items() if value},
    )
    tracked.dataset(
        Path(plan.request.data).name,
        fingerprint=dataset["fingerprint"],
        source=str(Path(plan.request.data).absolute()),
        profile={key: dataset[key] for key in ("found", "accepted", "quarantined", "skipped")},
    )
    record = Record(run, dataset, tracked, ledger, Examiner(run.path / "gate.log"))
    run.record(state="running", key=key, pid=os.getpid(), recipe=plan.recipe, dataset=dataset)
    status, note = "FAILED", ""
    try:
        yield record
        status = "FINISHED"
    except ExportError as error:
        run.record(state="refused")
        note = str(error)
        tracked.tags({"servable.refused": note, "mlflow.note.content": f"Refused: {note}"})
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
        elif run.read().get("state") == "running":
            run.record(state=status.lower())
        tracked.finish(status, note)
        if parent is None:
            ledger.close()


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
        "servable.command": command_line(),
        "mlflow.source.git.commit": git_commit(),
        **{f"version.{name}": version for name, version in versions().items()},
    }


def command_line() -> str:
    """Give the command this process was started with; empty where it is not ours."""
    return shlex.join(["servable", *sys.argv[1:]]) if Path(sys.argv[0]).name == "servable" else ""


def versions() -> dict[str, str]:
    """Give the versions of Python and of the libraries that can change a result."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str:
    """Give the commit the code is at, with ``-dirty`` where files differ; empty outside a checkout."""
    folder = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def candidate(plan: Plan, record: Record) -> Path:
    """Give the candidate's folder, named like a version so that a server can load it as one."""
    return plan.workspace.candidates / plan.name / record.run.path.name / "1"


def expectations(record: Record) -> Path:
    """Give the folder with raw examples and the training graph's own answers to them."""
    return record.run.path / "parity"
