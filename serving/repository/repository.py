"""The model repository: published versions of models, safe to read at any moment.

``root/<model>/<version>/`` is a TensorFlow Serving base path as it stands; ``root/models.config`` serves
every model's stable version from a container that mounts the repository at ``/models``. A version
appears by one rename of a complete, synced copy, so that no reader ever sees a part of it.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from features.errors import NoInputError, StorageError, TemporaryError, UsageError
from features.storage.files import sync_directory, write_file
from features.storage.locks import FileLock, locked
from features.storage.trees import copy_tree, sync_tree
from serving.repository.claims import PRIVATE, Claims
from serving.repository.faultpoints import fault
from serving.repository.history import History
from serving.repository.leases import leased_versions
from serving.repository.release import MODEL_FILES, Describe, Release, describe, is_complete
from serving.repository.version_names import is_model_name, parse_version

CONFIG = "models.config"
CONTAINER_BASE = "/models"
STABLE = "stable"
_MOVES = ("promote", "rollback", "repair")

_log = logging.getLogger(__name__)
_warned: set[Path] = set()


class Repository:
    """Published models below one folder.

    Args:
        root: the folder; made at the first publish.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    # Reading

    def models(self) -> list[str]:
        """Name every model that has a version, sorted."""
        if not self.root.is_dir():
            return []
        names = (
            entry.name for entry in os.scandir(self.root) if is_model_name(entry.name) and entry.is_dir()
        )
        return sorted(name for name in names if self.versions(name))

    def versions(self, model: str) -> list[int]:
        """Return the complete versions of a model, ascending; ignore anything else in its folder."""
        base = self._base(model)
        if not base.is_dir():
            return []
        return sorted(version for entry in os.scandir(base) if (version := _version_of(entry)) is not None)

    def path(self, model: str, version: int) -> Path:
        """Return the directory of a version, whether or not it exists."""
        return self._base(model) / str(version)

    def release(self, model: str, version: int) -> Release:
        """Read a version and its manifest.

        Raises:
            NoInputError: there is no such version.
        """
        return Release.load(model, version, self.path(model, version))

    def stable(self, model: str) -> int | None:
        """Return the version labelled ``stable``, or None before the first promotion."""
        moves = [event for event in self.history(model) if event["event"] in _MOVES]
        return moves[-1]["version"] if moves else None

    def history(self, model: str) -> list[dict[str, Any]]:
        """Return the history of a model, oldest event first."""
        return self._history(model).events()

    def config(self, base: str | None = None) -> Any:
        """Return the ModelServerConfig that serves each model's stable version under the label ``stable``.

        Args:
            base: folder in which a server finds the models; the repository's own when None.
        """
        from google.protobuf import text_format
        from tensorflow_serving.config import model_server_config_pb2

        return text_format.Parse(self._config_text(base), model_server_config_pb2.ModelServerConfig())

    # Publishing

    def publish(
        self,
        model: str,
        candidate: Path,
        manifest: dict[str, Any],
        *,
        promote: bool = True,
        texts: Describe | None = None,
    ) -> Release:
        """Copy a SavedModel into the repository as the model's next version.

        Claims a number, copies aside on the same filesystem, adds the manifest with the sha256 of every
        file, syncs, renames. Then the version becomes ``stable``, unless a newer one already was.

        Args:
            model: the model's name.
            candidate: directory of the SavedModel; left as it is.
            manifest: what to record about it; must be JSON.
            promote: make it the stable version.
            texts: makes texts that are put beside the SavedModel, such as a model card.

        Raises:
            UsageError: the model's name cannot be one.
            NoInputError: the candidate is no SavedModel.
            StorageError: the disk is full or fails; nothing of the version remains.
        """
        if not is_complete(candidate):
            raise NoInputError(f"no SavedModel at {candidate}", expected=" or ".join(MODEL_FILES))
        base = self._base(model)
        claims = Claims(base)
        try:
            base.mkdir(parents=True, exist_ok=True)
            claims.clean()
            version, claim = claims.claim()
        except OSError as error:
            raise StorageError(f"cannot write to the repository at {base}", got=error) from error
        with _held(claim):
            fault("publish.after_claim")
            described = {**manifest, "model": model, "version": version}
            self._place(self.path(model, version), candidate, described, claims.stage(version), texts)
            self._record(model, version, promote=promote)
        return self.release(model, version)

    def promote(self, model: str, version: int, reason: str) -> None:
        """Make a version the stable one.

        Raises:
            NoInputError: there is no such version.
        """
        self._move(model, version, "promote", reason)

    def rollback(self, model: str, reason: str) -> int:
        """Make the version that was stable before the present one stable again, and give its number.

        Raises:
            NoInputError: there is no earlier stable version left.
        """
        with self._locked(model):
            present = self.stable(model)
            earlier = self._earlier(model, present)
            if earlier is None:
                raise NoInputError(
                    f"model {model} has no earlier stable version",
                    got=f"stable version {present}",
                    todo="choose the version to serve with servable promote",
                )
            self._append_move(model, earlier, "rollback", reason)
        self._write_config()
        return earlier

    # Keeping house

    def repair(self) -> list[str]:
        """Make records and directories agree after a crash; give a line for each thing that was done."""
        if not self.root.is_dir():
            return []
        done = []
        for entry in sorted(self.root.iterdir()):
            if is_model_name(entry.name) and entry.is_dir():
                done += [f"{entry.name}: {what}" for what in self._repair_model(entry.name)]
        self._write_config()
        return done

    def prune(self, model: str, keep: int) -> list[int]:
        """Delete the oldest versions beyond ``keep`` and give their numbers.

        A version that is stable, was stable last before it, or that a running server holds, stays; so
        does the newest.

        Raises:
            UsageError: keep is less than 1.
        """
        with self._locked(model):
            old = self.prunable(model, keep)
            for version in old:
                self._delete(model, version, "retention")
        self._write_config()
        return old

    def prunable(self, model: str, keep: int) -> list[int]:
        """Return the versions that `prune` would delete.

        Raises:
            UsageError: keep is less than 1.
        """
        if keep < 1:
            raise UsageError("retention must keep at least one version", got=keep, expected="1 or more")
        stable = self.stable(model)
        spared = {stable, self._earlier(model, stable)} | leased_versions(self._base(model))
        return [version for version in self.versions(model)[:-keep] if version not in spared]

    def delete(self, model: str, version: int, reason: str) -> None:
        """Delete a version.

        Raises:
            NoInputError: there is no such version.
            UsageError: it is the stable one.
            TemporaryError: a running server holds it.
        """
        with self._locked(model):
            self.release(model, version)
            if version == self.stable(model):
                raise UsageError(
                    f"version {version} of model {model} is the stable one",
                    todo="promote another version first, or delete the whole model",
                )
            self._require_free(model, [version])
            self._delete(model, version, reason)
        self._write_config()

    def remove(self, model: str, reason: str) -> list[int]:
        """Delete every version of a model and give their numbers, which are not used again.

        Raises:
            NoInputError: there is no such model.
            TemporaryError: a running server holds a version; nothing is deleted.
        """
        with self._locked(model):
            versions = self.versions(model)
            self._require_free(model, versions)
            self._append_move(model, None, "repair", reason)
            for version in versions:
                self._delete(model, version, reason)
        self._write_config()
        return versions

    # Parts

    def _require_free(self, model: str, versions: Sequence[int]) -> None:
        """Refuse to go on where a living server holds one of the versions."""
        held = sorted(leased_versions(self._base(model)).intersection(versions))
        if held:
            raise TemporaryError(
                f"a running server holds model {model}",
                got=f"version {', '.join(map(str, held))}",
                todo="stop the server, or let it serve another version, and repeat",
            )

    def _base(self, model: str) -> Path:
        if not is_model_name(model):
            raise UsageError(
                "invalid model name",
                got=ascii(model[:80]),
                expected="letters, digits, '.', '-' or '_', starting with a letter or digit",
            )
        return self.root / model

    def _history(self, model: str) -> History:
        return History(self._base(model) / PRIVATE / "history.jsonl")

    @contextmanager
    def _locked(self, model: str) -> Iterator[None]:
        folder = self._base(model) / PRIVATE
        if not folder.parent.is_dir():
            raise NoInputError(
                f"no model {model} in {self.root}", expected=self.models() or "a published model"
            )
        folder.mkdir(exist_ok=True)
        with locked(folder / "lock"):
            yield

    def _place(
        self, target: Path, candidate: Path, manifest: dict[str, Any], staged: Path, texts: Describe | None
    ) -> None:
        try:
            files = copy_tree(candidate, staged)
            fault("publish.after_copy")
            describe(staged, manifest, files, texts)
            fault("publish.after_manifest")
            sync_tree(staged)
            fault("publish.after_fsync")
            fault("publish.before_rename")
            staged.rename(target)
            sync_directory(target.parent)
            fault("publish.after_rename")
        except OSError as error:
            raise StorageError(
                f"cannot publish version {manifest['version']} of model {manifest['model']}",
                got=error,
                expected=f"{_tree_bytes(candidate)} bytes free at {self.root}",
                todo="free some disk space and publish again",
            ) from error
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def _record(self, model: str, version: int, *, promote: bool) -> None:
        with self._locked(model):
            self._history(model).append("publish", version, "published")
            fault("publish.after_record")
            highest = max([0, *(event["version"] for event in self._moves(model))])
            if promote and version > highest:
                self._append_move(model, version, "promote", "published")
        fault("publish.before_config")
        self._write_config()

    def _moves(self, model: str) -> list[dict[str, Any]]:
        events = self.history(model)
        return [event for event in events if event["event"] in _MOVES and event["version"] is not None]

    def _move(self, model: str, version: int, event: str, reason: str) -> None:
        with self._locked(model):
            self.release(model, version)
            self._append_move(model, version, event, reason)
        self._write_config()

    def _append_move(self, model: str, version: int | None, event: str, reason: str) -> None:
        self._history(model).append(event, version, reason, previous=self.stable(model))

    def _earlier(self, model: str, present: int | None) -> int | None:
        # A rollback goes to what was stable before the present version was first promoted, so that a
        # second rollback goes further back and not forth again.
        order: list[int] = []
        for event in self._moves(model):
            number = event["version"]
            order = [*order[: order.index(number)], number] if number in order else [*order, number]
        there = set(self.versions(model))
        return next((number for number in reversed(order) if number != present and number in there), None)

    def _repair_model(self, model: str) -> list[str]:
        done = [f"removed {what}" for what in Claims(self._base(model)).clean()]
        if not self.versions(model) and not self._history(model).path.exists():
            return done
        with self._locked(model):
            published = {event["version"] for event in self.history(model) if event["event"] == "publish"}
            for version in self.versions(model):
                if version not in published:
                    self._history(model).append("publish", version, "complete but not recorded")
                    done.append(f"recorded version {version}, which was complete")
            stable = self.stable(model)
            if stable is not None and stable not in self.versions(model):
                earlier = self._earlier(model, stable)
                self._append_move(model, earlier, "repair", f"version {stable} is missing")
                done.append(f"moved stable from missing version {stable} to {earlier}")
        return done

    def _delete(self, model: str, version: int, reason: str) -> None:
        trash = Claims(self._base(model)).trash
        trash.mkdir(parents=True, exist_ok=True)
        aside = trash / f"{version}.{os.urandom(4).hex()}"
        self.path(model, version).rename(aside)
        self._history(model).append("delete", version, reason)
        shutil.rmtree(aside, ignore_errors=True)

    def _config_text(self, base: str | None) -> str:
        folder = base if base is not None else str(self.root.resolve())
        parts = (self._model_config(model, folder) for model in self.models())
        return "model_config_list {\n" + "".join(parts) + "}\n"

    def _model_config(self, model: str, folder: str) -> str:
        stable = self.stable(model)
        if stable is None or stable not in self.versions(model):
            return ""
        path = json.dumps(f"{folder.rstrip('/')}/{model}", ensure_ascii=False)
        return (
            f'  config {{\n    name: "{model}"\n    base_path: {path}\n    model_platform: "tensorflow"\n'
            f"    model_version_policy {{ specific {{ versions: {stable} }} }}\n"
            f'    version_labels {{ key: "{STABLE}" value: {stable} }}\n  }}\n'
        )

    def _write_config(self) -> None:
        folder = self.root / PRIVATE
        folder.mkdir(exist_ok=True)
        # Under the lock, so that of two writers the later one has seen what the earlier one recorded.
        with locked(folder / "lock"):
            write_file(self.root / CONFIG, self._config_text(CONTAINER_BASE))


def _version_of(entry: os.DirEntry[str]) -> int | None:
    if entry.name.startswith(".") or not entry.is_dir():
        return None
    version = parse_version(entry.name)
    if version is not None and is_complete(Path(entry.path)):
        return version
    path = Path(entry.path)
    if path not in _warned:
        _warned.add(path)
        _log.warning(
            "%s is skipped: %s", path, "not a SavedModel" if version is not None else "not a version number"
        )
    return None


@contextmanager
def _held(claim: FileLock) -> Iterator[None]:
    try:
        yield
    finally:
        claim.release()


def _tree_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
