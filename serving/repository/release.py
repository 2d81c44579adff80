"""One published version of a model: a SavedModel with a manifest that names and hashes its files."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.errors import DataError, NoInputError
from features.storage.trees import regular_files, sha256

MANIFEST = "assets.extra/servable.json"
MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")


@dataclass(frozen=True)
class Release:
    """A published version.

    Attributes:
        model: the model's name.
        version: its version number.
        path: the SavedModel's directory.
        manifest: what the publisher recorded: task, labels, metrics, run_id, dataset, recipe …, plus
            ``files`` (sha256 by relative path), ``model``, ``version`` and ``published_at``.
    """

    model: str
    version: int
    path: Path
    manifest: dict[str, Any] = field(repr=False)

    @classmethod
    def load(cls, model: str, version: int, path: Path) -> "Release":
        """Read a version's manifest; a SavedModel published by another tool has an empty one.

        Raises:
            NoInputError: there is no such version.
            DataError: the manifest cannot be read.
        """
        if not is_complete(path):
            raise NoInputError(f"no version {version} of model {model}", got=f"nothing at {path}")
        try:
            manifest = json.loads((path / MANIFEST).read_bytes())
        except FileNotFoundError:
            manifest = {}
        except ValueError as error:
            raise DataError(f"the manifest {path / MANIFEST} is damaged", got=error) from error
        return cls(model, version, path, manifest)

    def verify(self) -> None:
        """Compare every file with its recorded sha256.

        Raises:
            DataError: a file is missing, changed or not listed; each is named.
        """
        damage = list(self.damage())
        if damage:
            raise DataError(
                f"version {self.version} of model {self.model} at {self.path} was changed after publishing",
                got="; ".join(damage[:5]) + (f" and {len(damage) - 5} more" if len(damage) > 5 else ""),
                expected=f"the {len(self.manifest.get('files', {}))} files of its manifest",
                todo="publish the model again and delete this version",
            )

    def damage(self) -> list[str]:
        """Name every file that is missing, changed or not in the manifest."""
        recorded = self.manifest.get("files")
        if recorded is None:
            return [f"{MANIFEST} lists no files"]
        present = set(regular_files(self.path)) - {MANIFEST}
        missing = [f"{name} is missing" for name in sorted(recorded.keys() - present)]
        extra = [f"{name} is not in the manifest" for name in sorted(present - recorded.keys())]
        changed = [
            f"{name} changed"
            for name in sorted(present & recorded.keys())
            if sha256(self.path / name) != recorded[name]
        ]
        return missing + changed + extra


def is_complete(path: Path) -> bool:
    """Return whether a directory holds a SavedModel."""
    return any((path / name).is_file() for name in MODEL_FILES)
