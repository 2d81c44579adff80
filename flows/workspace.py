"""Address everything written at run time: the one path class."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from features.errors import AccessError, UsageError
from features.storage.files import write_file

#: A model name is a folder below the repository, an MLflow experiment and a gRPC model name at once.
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def default_root() -> Path:
    """Return the workspace in SERVABLE_WORKSPACE, or ``workspace`` in the current folder."""
    return Path(os.environ.get("SERVABLE_WORKSPACE") or "workspace")


def model_name(name: str) -> str:
    """Return name unchanged if it can name a model.

    Raises:
        UsageError: it is not 1 to 64 ASCII letters, digits, hyphens and underscores.
    """
    if not MODEL_NAME.fullmatch(name):
        raise UsageError(
            "invalid model name",
            got=ascii(name[:80]),
            expected="1 to 64 letters, digits, '-' or '_', starting with a letter or digit",
            todo="choose another --name",
        )
    return name


@dataclass(frozen=True)
class Workspace:
    """One folder for datasets, features, runs, releases, caches and service state.

    Only ``mlruns`` stands beside it, where MLflow users look for it.
    """

    root: Path

    @classmethod
    def open(cls, root: Path | None = None) -> "Workspace":
        """Make the folder if it is missing and return its address.

        Raises:
            AccessError: the folder cannot be made or written.
        """
        workspace = cls((root or default_root()).absolute())
        try:
            workspace.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AccessError(
                f"cannot create the workspace {workspace.root}",
                got=error.strerror,
                todo="use a writable folder with --workspace",
            ) from error
        return workspace

    @property
    def mlruns(self) -> Path:
        """MLflow's database and artifacts."""
        return self.root.parent / "mlruns"

    @property
    def datasets(self) -> Path:
        """Dataset snapshots, one folder per fingerprint."""
        return self.root / "datasets"

    @property
    def features(self) -> Path:
        """Cached features, one store per fingerprint of what computes them."""
        return self.root / "features"

    @property
    def repository(self) -> Path:
        """The model repository: each child is a TensorFlow Serving base path."""
        return self.root / "repository"

    @property
    def candidates(self) -> Path:
        """Exported models the gate has not passed yet; refused ones stay for study."""
        return self.root / "candidates"

    @property
    def hub(self) -> Path:
        """The persistent cache of TF-Hub modules: TFHUB_CACHE_DIR where that is set."""
        named = os.environ.get("TFHUB_CACHE_DIR")
        return Path(named).expanduser().absolute() if named else self.root / "hub"

    @property
    def spool(self) -> Path:
        """Tracking events that MLflow has not confirmed yet."""
        return self.root / "spool"

    @property
    def prefect(self) -> Path:
        """Prefect's home: its database, results and profiles."""
        return self.root / "prefect"

    @property
    def reports(self) -> Path:
        """Crash reports: one file per internal error, with the traceback the terminal does not show."""
        return self.root / "reports"

    def runs(self, name: str) -> Path:
        """Folder of all training runs of one model."""
        return self.root / "runs" / name


def fingerprint(value: object) -> str:
    """Hash plain data to 16 hexadecimal digits, equal for equal content whatever the key order."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class RunDirectory:
    """The folder of one training run and the names of the files in it."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Where training resumes from."""
        return self.path / "checkpoints"

    @property
    def weights(self) -> Path:
        """The trained weights, written once at the end of training."""
        return self.path / "final.npz"

    @property
    def state_file(self) -> Path:
        """What is known of the run: its key, state and the result of every finished step."""
        return self.path / "run.json"

    @property
    def evaluation(self) -> Path:
        """Scores, metrics and figures on the test split."""
        return self.path / "evaluation"

    @property
    def report(self) -> Path:
        """The self-contained report page."""
        return self.path / "report.html"

    def read(self) -> dict:
        """Return the recorded state; empty for a run that has none yet or an unreadable one."""
        try:
            return json.loads(self.state_file.read_text())
        except (OSError, ValueError):
            return {}

    def record(self, **changes: object) -> dict:
        """Merge changes into the recorded state, atomically, and return the whole."""
        state = self.read() | changes
        write_file(self.state_file, json.dumps(state, indent=1, sort_keys=True) + "\n")
        return state


def open_run(workspace: Workspace, name: str, key: str, *, restart: bool = False) -> RunDirectory:
    """Return the unfinished run with this key to resume, or a new one.

    Args:
        workspace: where runs live.
        name: the model.
        key: fingerprint of all that decides the outcome: task, recipe, dataset, seed.
        restart: leave an unfinished run alone and begin again.
    """
    taken = list(_numbered(workspace.runs(name), key))
    if taken and not restart and taken[-1][1].read().get("state") not in ("finished", "refused"):
        return taken[-1][1]
    number = taken[-1][0] + 1 if taken else 1
    run = RunDirectory(workspace.runs(name) / f"{key}-{number}")
    run.path.mkdir(parents=True)
    return run


def _numbered(folder: Path, key: str) -> Iterator[tuple[int, RunDirectory]]:
    found = [
        (int(child.name.rpartition("-")[2]), RunDirectory(child))
        for child in (folder.iterdir() if folder.is_dir() else ())
        if child.name.startswith(f"{key}-") and child.name.rpartition("-")[2].isdigit()
    ]
    return iter(sorted(found, key=lambda pair: pair[0]))
