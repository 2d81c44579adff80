"""The model repository: published versions of models, safe to read at any moment.

``root/<model>/<version>/`` is a TensorFlow Serving base path as it stands; ``root/models.config`` serves
every model's labelled versions from a container that mounts the repository at ``/models``. A version
appears by one rename of a complete, synced copy, so that no reader ever sees a part of it.
"""

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from features.errors import NoInputError, ServableError, StorageError, TemporaryError, UsageError
from features.storage.files import write_file
from features.storage.locks import FileLock, locked
from serving.repository.claims import PRIVATE, Claims
from serving.repository.faultpoints import fault
from serving.repository.labels import labels, server_config
from serving.repository.labels.history import History
from serving.repository.labels.labels import CANARY, STABLE, Canary
from serving.repository.labels.server_config import CONFIG, CONTAINER_BASE, STEP_SECONDS, Entry
from serving.repository.leases import leased_versions
from serving.repository.placement import place
from serving.repository.release import MODEL_FILES, Describe, Release, is_complete
from serving.repository.version_names import is_model_name, parse_version

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
        return labels.stable(self.history(model))

    def canary(self, model: str) -> Canary | None:
        """Return the version on trial, or None."""
        return labels.canary(self.history(model))

    def labelled(self, model: str, label: str) -> int | None:
        """Return the version of a label, ``stable`` or ``canary``; None if it has none."""
        if label == STABLE:
            return self.stable(model)
        trial = self.canary(model)
        return None if trial is None else trial.version

    def history(self, model: str) -> list[dict[str, Any]]:
        """Return the history of a model, oldest event first."""
        return self._history(model).events()

    def live(self) -> tuple[Any, dict[str, Canary]]:
        """Return the configuration of `config` and the canaries by model, as of one moment."""
        histories = {model: self.history(model) for model in self.models()}
        canaries = {name: trial for name, events in histories.items() if (trial := labels.canary(events))}
        return self._config(histories), canaries

    def config(self) -> Any:
        """Return the ModelServerConfig that serves each model's labelled versions from here."""
        return self._config({model: self.history(model) for model in self.models()})

    def _config(self, histories: dict[str, list[dict[str, Any]]]) -> Any:
        from google.protobuf import text_format
        from tensorflow_serving.config import model_server_config_pb2

        text = server_config.text(self._entries(histories), str(self.root.resolve()))
        return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())

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
            place(candidate, claims.stage(version), self.path(model, version), manifest, texts)
            self._record(model, version, promote=promote)
        return self.release(model, version)

    def promote(
        self,
        model: str,
        version: int,
        reason: str,
        *,
        share: float | None = None,
        during: Canary | None = None,
        **more: Any,
    ) -> None:
        """Make a version the stable one, which ends a canary; or, with a share, the canary.

        Args:
            model: the model's name.
            version: to promote.
            reason: kept in the history.
            share: percentage of the requests without version and label that a canary answers.
            during: the canary that must be under way still.
            **more: kept in the history as well, such as ``by``: who did it.

        Raises:
            NoInputError: there is no such version, or no stable one beside which it could be tried.
            UsageError: the share is no percentage, or the version is the stable one already.
            TemporaryError: another canary is under way, or none.
        """
        with self._locked(model):
            self.release(model, version)
            self._require(model, during)
            if share is None:
                self._append_move(model, version, "promote", reason, **more)
            else:
                self._check_trial(model, version, share)
                self._append_move(model, version, "promote", reason, label=CANARY, share=float(share), **more)
        self.write_config()

    def rollback(self, model: str, reason: str, *, during: Canary | None = None, **more: Any) -> int:
        """End the canary under way; without one, make the version that was stable before stable again.

        Args:
            model: the model's name.
            reason: kept in the history.
            during: the canary that must be under way still.
            **more: kept in the history as well, such as ``by``: who did it.

        Returns:
            The version that is stable now.

        Raises:
            NoInputError: there is no earlier stable version left.
            TemporaryError: another canary is under way, or none.
        """
        with self._locked(model):
            self._require(model, during)
            events = self.history(model)
            present, trial = labels.stable(events), labels.canary(events)
            earlier = labels.earlier(events, self.versions(model)) if trial is None else present
            if earlier is None:
                raise NoInputError(
                    f"model {model} has no earlier stable version",
                    got=f"stable version {present}",
                    todo="choose the version to serve with servable promote",
                )
            if trial is None:
                self._append_move(model, earlier, "rollback", reason, **more)
            else:
                self._append_move(model, None, "rollback", reason, label=CANARY, **more)
        self.write_config()
        return earlier

    def refuse(self, model: str, version: int | None, reason: str, **more: Any) -> None:
        """Record a move that was not followed.

        Args:
            model: the model's name.
            version: that a label was to name; None for none.
            reason: why not.
            **more: kept in the history as well: ``label``, ``by``.
        """
        with self._locked(model):
            previous = self.labelled(model, more.get("label", STABLE))
            self._history(model).append("refused", version, reason, previous=previous, **more)

    # Keeping house

    def repair(self) -> list[str]:
        """Make records and directories agree after a crash; give a line for each thing that was done."""
        if not self.root.is_dir():
            return []
        done = []
        for entry in sorted(self.root.iterdir()):
            if is_model_name(entry.name) and entry.is_dir():
                done += [f"{entry.name}: {what}" for what in self._repair_model(entry.name)]
        self.write_config()
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
        self.write_config()
        return old

    def prunable(self, model: str, keep: int) -> list[int]:
        """Return the versions that `prune` would delete.

        Raises:
            UsageError: keep is less than 1.
        """
        if keep < 1:
            raise UsageError("retention must keep at least one version", got=keep, expected="1 or more")
        events, versions = self.history(model), self.versions(model)
        spared = {self.stable(model), self.labelled(model, CANARY), labels.earlier(events, versions)}
        spared |= leased_versions(self._base(model))
        return [version for version in versions[:-keep] if version not in spared]

    def delete(self, model: str, version: int, reason: str) -> None:
        """Delete a version.

        Raises:
            NoInputError: there is no such version.
            UsageError: it is the stable one, or the canary.
            TemporaryError: a running server holds it.
        """
        with self._locked(model):
            self.release(model, version)
            if version == self.stable(model):
                raise UsageError(
                    f"version {version} of model {model} is the stable one",
                    todo="promote another version first, or delete the whole model",
                )
            if version == self.labelled(model, CANARY):
                raise UsageError(
                    f"version {version} of model {model} is the canary",
                    todo=f"end its trial first: servable rollback {model}",
                )
            self._require_free(model, [version])
            self._delete(model, version, reason)
        self.write_config()

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
        self.write_config()
        return versions

    # Parts

    def _require_free(self, model: str, versions: Sequence[int]) -> None:
        """Refuse to go on where a living server holds one of the versions."""
        held = sorted(leased_versions(self._base(model)).intersection(versions))
        if held:
            raise TemporaryError(
                f"a running server is using model {model}",
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

    def _record(self, model: str, version: int, *, promote: bool) -> None:
        with self._locked(model):
            self._history(model).append("publish", version, "published")
            fault("publish.after_record")
            highest = max([0, *(event["version"] or 0 for event in labels.moves(self.history(model)))])
            if promote and version > highest:
                self._append_move(model, version, "promote", "published")
        fault("publish.before_config")
        self.write_config()

    def _require(self, model: str, trial: Canary | None) -> None:
        if trial is not None and self.canary(model) != trial:
            raise TemporaryError(f"the canary of model {model} is no longer version {trial.version}")

    def _check_trial(self, model: str, version: int, share: float) -> None:
        if not 0 <= share <= 100:
            raise UsageError("the share of a canary is not a percentage", got=share, expected="0 to 100")
        stable = self.stable(model)
        if stable is None:
            raise NoInputError(f"model {model} has no stable version", todo="promote one without --to canary")
        if version == stable:
            raise UsageError(
                f"version {version} of model {model} is the stable one", expected="another version as canary"
            )

    def _append_move(
        self, model: str, version: int | None, event: str, reason: str, *, label: str = STABLE, **more: Any
    ) -> None:
        previous = self.labelled(model, label)
        if version is not None:
            # Kept here, since the release may be deleted.
            with contextlib.suppress(ServableError):
                more["metrics"] = self.release(model, version).manifest.get("metrics", {})
        self._history(model).append(event, version, reason, label=label, previous=previous, **more)
        fault("move.after_record")

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
            trial = self.canary(model)
            if trial is not None and trial.version not in self.versions(model):
                self._append_move(model, None, "repair", f"version {trial.version} is missing", label=CANARY)
                done.append(f"ended the canary with missing version {trial.version}")
            stable = self.stable(model)
            if stable is not None and stable not in self.versions(model):
                earlier = labels.earlier(self.history(model), self.versions(model))
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

    def write_config(self) -> None:
        """Take ``models.config`` a step further to what the histories say; see `server_config`."""
        folder = self.root / PRIVATE
        folder.mkdir(exist_ok=True)
        # Under the lock, so that of two writers the later one has seen what the earlier one recorded.
        with locked(folder / "lock"):
            written, settled = self._written_config()
            written_entries = server_config.read(written)
            entries = (
                server_config.step(
                    entry, written_entries.get(entry.model), self.versions(entry.model), settled=settled
                )
                for entry in self._entries({model: self.history(model) for model in self.models()})
            )
            text = server_config.text(entries, CONTAINER_BASE)
            if text != written:
                write_file(self.root / CONFIG, text)

    def _entries(self, histories: dict[str, list[dict[str, Any]]]) -> Iterator[Entry]:
        for model, events in histories.items():
            entry = server_config.entry(model, events, self.versions(model))
            if entry is not None:
                yield entry

    def _written_config(self) -> tuple[str, bool]:
        """Return the text of ``models.config``, and whether servers have had the time to follow it."""
        path = self.root / CONFIG
        try:
            return path.read_text(), time.time() - path.stat().st_mtime >= STEP_SECONDS
        except FileNotFoundError:
            return "", True


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
