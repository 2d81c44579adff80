"""A repository in an object store: a version appears by its last object, and a reader takes it whole.

Object stores have no rename. The writer therefore uploads the SavedModel's graph last, after everything else
of the version, its manifest of hashes included: a version without a graph is none, to TensorFlow Serving as
well. A reader downloads a version that has its graph aside, compares it with its manifest, and renames it
into place. Labels are written after the versions they name and read before the versions are listed, so that a
reader finds what they name.
"""

import concurrent.futures
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from features.errors import DataError, NoInputError, ServableError
from features.storage.files import write_file
from features.storage.objects import Listed, ObjectStore
from features.storage.trees import regular_files, remove_tree, sync_tree
from serving.repository.labels.mirrored_labels import OBJECT, Labels
from serving.repository.release import MANIFEST, MODEL_FILES, SIGNATURE, Release
from serving.repository.repository import Repository
from serving.repository.version_names import is_model_name, parse_version

_log = logging.getLogger(__name__)
#: Objects that are downloaded at a time.
_PARALLEL = 8


def push(repository: Repository, url: str) -> Iterator[str]:
    """Make the store hold the versions and labels of a repository; yield a line for each thing done.

    Complete versions that the store has stay as they are; those that this repository deleted are deleted.

    Raises:
        DataError: the store has another version of the same model and number.
        AccessError, UnavailableError: the store refuses, or cannot be reached; what was sent stays, and the
            next push goes on.
    """
    for model in _models(repository):
        store = ObjectStore(f"{url.rstrip('/')}/{model}")
        listing = store.listing()
        present = _versions(listing)
        for version in repository.versions(model):
            if _send(store, repository.release(model, version), present.get(version, {})):
                yield f"{model} {version}: sent"
        if labels := _send_labels(store, repository, model, OBJECT in listing):
            yield f"{model}: {labels}"
        deleted = {event["version"] for event in repository.history(model) if event["event"] == "delete"}
        for version in sorted(deleted.intersection(present) - set(repository.versions(model))):
            _delete(store, version, present[version])
            yield f"{model} {version}: deleted"


def _send_labels(store: ObjectStore, repository: Repository, model: str, present: bool) -> Labels | None:
    """Upload the labels if they moved, and return them; remove those of a model that has none any more."""
    labels = Labels.of(repository.history(model), repository.versions(model))
    if labels is None:
        store.delete([OBJECT] if present else [])
        return None
    content = labels.content()
    if present and store.read(OBJECT) == content:
        return None
    store.write(OBJECT, content)
    return labels


def _models(repository: Repository) -> list[str]:
    """Name every model that has, or once had, a version."""
    if not repository.root.is_dir():
        return []
    entries = [entry for entry in os.scandir(repository.root) if is_model_name(entry.name)]
    return sorted(entry.name for entry in entries if entry.is_dir() and repository.history(entry.name))


def _send(store: ObjectStore, release: Release, present: Mapping[str, Listed]) -> bool:
    """Upload a version, its graph last; return whether there was anything to do."""
    names = list(regular_files(release.path))
    prefix, last = str(release.version), next(name for name in MODEL_FILES if name in names)
    if last in present:
        _require_same(store, release)
        if SIGNATURE not in names or SIGNATURE in present:
            return False
        store.put(release.path / SIGNATURE, f"{prefix}/{SIGNATURE}")
        return True
    # Left by a push that was interrupted, of what may have been another version.
    store.delete(f"{prefix}/{name}" for name in present if name not in names)
    for name in names:
        if name != last:
            store.put(release.path / name, f"{prefix}/{name}")
    store.put(release.path / last, f"{prefix}/{last}")
    return True


def _require_same(store: ObjectStore, release: Release) -> None:
    """Compare the manifests, which hold the hash of every file."""
    try:
        there = store.read(f"{release.version}/{MANIFEST}")
    except NoInputError:
        there = b""
    own = release.path / MANIFEST
    if there != (own.read_bytes() if own.is_file() else b""):
        raise DataError(
            f"{store.url} has another version {release.version}",
            expected=f"that of {release.path}",
            todo="mirror each workspace to a place of its own",
        )


def _delete(store: ObjectStore, version: int, names: Mapping[str, Listed]) -> None:
    """Delete a version, its graph first: from then on it is none."""
    graphs = [name for name in MODEL_FILES if name in names]
    for part in (graphs, [name for name in names if name not in graphs]):
        store.delete(f"{version}/{name}" for name in part)


def _versions(listing: Mapping[str, Listed]) -> dict[int, dict[str, Listed]]:
    """Sort the objects below a model by version."""
    versions: dict[int, dict[str, Listed]] = {}
    for name, listed in listing.items():
        first, _, rest = name.partition("/")
        version = parse_version(first)
        if version is not None and rest:
            versions.setdefault(version, {})[rest] = listed
    return versions


def _complete(listing: Mapping[str, Listed]) -> dict[int, dict[str, Listed]]:
    """Return the versions that have their last object."""
    return {
        version: names
        for version, names in _versions(listing).items()
        if any(graph in names for graph in MODEL_FILES)
    }


class Follower:
    """Keeps a folder as a base path with the complete versions of a model in an object store.

    Args:
        url: of the model, which holds its versions.
        base: the folder; made if need be.
    """

    def __init__(self, url: str, base: Path) -> None:
        self.base = base
        self._store = ObjectStore(url)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self) -> None:
        """Bring the versions that are new, then the labels, then remove the versions that are gone.

        A store without any complete version removes nothing: a server goes on with what it has.

        Raises:
            AccessError, UnavailableError: the store refuses, or cannot be reached.
            DataError: its labels cannot be read.
        """
        labels = self._labels()
        complete = _complete(self._store.listing())
        self.base.mkdir(parents=True, exist_ok=True)
        for version, names in sorted(complete.items()):
            if not (self.base / str(version)).is_dir():
                self._bring(version, names)
        if not complete:
            return
        current_versions = {*complete, *self._label(labels)}
        for entry in os.scandir(self.base):
            number = parse_version(entry.name)
            if number is not None and number not in current_versions:
                self._remove(number)

    def _labels(self) -> Labels | None:
        try:
            return Labels.read(self._store.read(OBJECT))
        except NoInputError:
            return None

    def _label(self, labels: Labels | None) -> set[int]:
        """Write the labels down if what they name is here; return the versions that those here name."""
        file = self.base / OBJECT
        if labels is None:
            file.unlink(missing_ok=True)
            return set()
        named = set(labels.versions.values())
        if all((self.base / str(version)).is_dir() for version in named):
            write_file(file, labels.content())
            return named
        _log.warning("%s: %s is not followed: not all its versions are here", self._store.url, labels)
        return set(Labels.read(file.read_bytes()).versions.values()) if file.is_file() else set()

    def _bring(self, version: int, names: Mapping[str, Listed]) -> None:
        aside = self.base / f".{version}.{os.urandom(4).hex()}"
        try:
            for name in names:
                _require_inside(name, self._store.url)
                (aside / name).parent.mkdir(parents=True, exist_ok=True)
            with concurrent.futures.ThreadPoolExecutor(_PARALLEL) as pool:
                list(pool.map(lambda name: self._store.get(f"{version}/{name}", aside / name), names))
            if damage := _damage(self.base.name, version, aside, names):
                _log.warning("%s/%d is not served: %s", self._store.url, version, damage)
                return
            sync_tree(aside)
            aside.rename(self.base / str(version))
        except NoInputError:
            _log.warning("%s/%d was deleted while it was downloaded", self._store.url, version)
        finally:
            remove_tree(aside)

    def _remove(self, version: int) -> None:
        aside = self.base / f".{version}.{os.urandom(4).hex()}"
        (self.base / str(version)).rename(aside)
        remove_tree(aside)

    def start(self, seconds: float) -> None:
        """Follow in a thread from now on, every so many seconds; 0 or less: not at all."""
        if seconds > 0:
            self._thread = threading.Thread(target=self._repeat, args=(seconds,), daemon=True)
            self._thread.start()

    def _repeat(self, seconds: float) -> None:
        while not self._stop.wait(seconds):
            try:
                self.follow()
            except (ServableError, OSError) as error:
                _log.warning("cannot follow %s: %s", self._store.url, error)

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()


def _require_inside(name: str, url: str) -> None:
    """Refuse names that would lead out of a folder."""
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise DataError(f"{url} holds an object that cannot be a file", got=repr(name[:200]))


def _damage(model: str, version: int, path: Path, names: Mapping[str, Listed]) -> str:
    """Say what of a downloaded version is not as listing and manifest have it; nothing of a good one."""
    short = [name for name, listed in names.items() if (path / name).stat().st_size != listed.size]
    if short:
        return f"{short[0]} changed while it was downloaded"
    release = Release.load(model, version, path)
    return "; ".join(release.damage()[:3]) if release.manifest else ""
