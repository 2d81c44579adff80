"""One published version of a model: a SavedModel with a manifest that names and hashes its files."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features.errors import DataError, NoInputError
from features.storage.trees import regular_files, sha256
from serving.repository.statement import PROVENANCE, differences

MANIFEST = "assets.extra/servable.json"
#: Signed after it was published, so that the manifest does not list it.
SIGNATURE = "model.sig"
MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")

#: From a manifest without its list of files, and the sha256 of the files by relative path, to texts that are
#: put beside them, by file name.
Describe = Callable[[Mapping[str, Any], Mapping[str, str]], Mapping[str, str]]


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
        """Compare every file with manifest and provenance statement.

        Raises:
            DataError: a file is missing, changed or not listed, or the statement says otherwise; each is
                named.
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
        """Name every file that is missing, changed or not listed; else, what the statement denies."""
        recorded = self.manifest.get("files")
        if recorded is None:
            return [f"{MANIFEST} lists no files"]
        names = set(regular_files(self.path)) - {MANIFEST, SIGNATURE}
        present = {name: sha256(self.path / name) for name in sorted(names)}
        missing = [f"{name} is missing" for name in sorted(recorded.keys() - names)]
        changed = [
            f"{name} changed" for name, digest in present.items() if recorded.get(name, digest) != digest
        ]
        extra = [f"{name} is not in the manifest" for name in sorted(names - recorded.keys())]
        return [*missing, *changed, *extra] or self._denied(present)

    @property
    def is_stated(self) -> bool:
        """Whether it has a provenance statement; releases of earlier versions of Servable have none."""
        return PROVENANCE in self.manifest.get("files", {})

    def _denied(self, present: dict[str, str]) -> list[str]:
        if present.pop(PROVENANCE, None) is None:
            return []
        return differences((self.path / PROVENANCE).read_bytes(), present, self.manifest)


def describe(
    folder: Path, manifest: Mapping[str, Any], files: Mapping[str, str], texts: Describe | None
) -> None:
    """Write the manifest of a SavedModel, and the texts beside it.

    Args:
        folder: of the SavedModel.
        manifest: what is recorded; when and which files is added.
        files: sha256 of the SavedModel's files by relative path. A manifest, statement or signature among
            them is of an earlier release and left out.
        texts: makes the texts; None for none.
    """
    content = {**manifest, "published_at": datetime.now(UTC).isoformat(timespec="seconds")}
    stale = (MANIFEST, PROVENANCE, SIGNATURE)
    own = {name: digest for name, digest in files.items() if name not in stale}
    for name in stale:
        (folder / name).unlink(missing_ok=True)
    for name, text in (texts(content, own) if texts is not None else {}).items():
        (folder / name).write_bytes(text.encode())
        own[name] = hashlib.sha256(text.encode()).hexdigest()
    path = folder / MANIFEST
    path.parent.mkdir(exist_ok=True)
    listed = json.dumps({**content, "files": own}, indent=1, ensure_ascii=False, sort_keys=True)
    path.write_text(listed, encoding="utf-8")


def is_complete(path: Path) -> bool:
    """Return whether a directory holds a SavedModel."""
    return any((path / name).is_file() for name in MODEL_FILES)
