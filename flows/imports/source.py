"""Where a model comes from: a folder of a SavedModel, a Keras file, or a version registered in MLflow."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from features.errors import DataError, NoInputError, UsageError
from flows.tracking import downloads, tracking
from flows.tracking.store.mlflow_store import Ledger
from flows.workspace import Workspace

SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")
_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


@dataclass(frozen=True)
class Source:
    """A model on disk.

    Attributes:
        path: folder of a SavedModel, or a ``.keras`` file.
        origin: what the user named.
    """

    path: Path
    origin: str

    @property
    def keras(self) -> bool:
        """Whether it is a Keras file, which has to be exported first."""
        return self.path.is_file()


def find(source: str, workspace: Workspace, folder: Path) -> Source:
    """Find a model; download it into a folder where it is registered in MLflow.

    Raises:
        UsageError: it is no address of a model.
        NoInputError: there is nothing there.
        DataError: what is there is neither a SavedModel nor a Keras file.
        UnavailableError: MLflow cannot be asked.
    """
    if source.startswith("models:"):
        return Source(_inside(_downloaded(source, workspace, folder), source), source)
    path = Path(source)
    if not path.exists():
        raise NoInputError("the model does not exist", got=source, todo="check the path")
    return Source(_inside(path.absolute(), source), source)


def _downloaded(source: str, workspace: Workspace, folder: Path) -> Path:
    match = _REGISTERED.fullmatch(source)
    if match is None:
        raise UsageError(
            "cannot read the address of the model",
            got=source,
            expected="models:/NAME@ALIAS or models:/NAME/VERSION",
        )
    ledger = Ledger(tracking.tracking_uri(workspace), workspace.mlruns / "artifacts")
    return downloads.fetch(ledger, match["name"], match["alias"], match["version"], folder)


def _inside(path: Path, origin: str) -> Path:
    """Return the one SavedModel or Keras file at or below a path."""
    if path.is_file():
        if path.suffix != ".keras":
            raise DataError(
                "cannot import this kind of file",
                got=path.name,
                expected="a .keras file, or the folder of a SavedModel",
                todo="save the model again with model.save('NAME.keras') or model.export('FOLDER')",
            )
        return path
    paths = {file.parent for name in SAVED_MODEL_FILES for file in path.rglob(name)}
    paths |= set() if paths else set(path.rglob("*.keras"))
    if len(paths) != 1:
        raise DataError(
            f"{'no' if not paths else 'more than one'} model in {origin}",
            got=", ".join(sorted(str(each.relative_to(path)) for each in paths))
            or _flavors(path)
            or "other files",
            expected="one SavedModel or .keras file",
        )
    return paths.pop()


def _flavors(path: Path) -> str:
    """Name what MLflow says the model is; empty if it says nothing."""
    try:
        described = yaml.safe_load((path / "MLmodel").read_text("utf-8"))
        return f"flavors {', '.join(sorted(described['flavors']))}"
    except (OSError, KeyError, TypeError, yaml.YAMLError):
        return ""
