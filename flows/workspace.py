"""Address everything written at run time: the one path class."""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from features.errors import AccessError, NoInputError, UsageError

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
    def at(cls, root: Path | None = None) -> "Workspace":
        """Return the address of a workspace, whether or not it is there."""
        return cls((root or default_root()).absolute())

    @classmethod
    def open(cls, root: Path | None = None) -> "Workspace":
        """Make the folder if it is missing and return its address.

        Raises:
            AccessError: the folder cannot be made or written.
        """
        workspace = cls.at(root)
        try:
            workspace.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AccessError(
                f"cannot create the workspace {workspace.root}",
                got=error.strerror,
                todo="use a writable folder with --workspace",
            ) from error
        return workspace

    @classmethod
    def existing(cls, root: Path | None = None) -> "Workspace":
        """Return the address of a workspace that is there already, for commands that only read.

        Raises:
            NoInputError: there is none.
        """
        workspace = cls.at(root)
        if not workspace.root.is_dir():
            raise NoInputError(
                "no workspace",
                got=str(workspace.root),
                todo="train a model first, or name the workspace with --workspace or SERVABLE_WORKSPACE",
            )
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
    def locks(self) -> Path:
        """One file per model that was trained, locked while it is."""
        return self.root / "locks"

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
