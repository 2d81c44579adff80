"""Local copies of objects: each is downloaded once, and again when it changed there or here.

The object ``s3://bucket/photos/a.jpg`` lies at ``FOLDER/s3/bucket/photos/a.jpg``. A ledger records size and
tag of each object when it was downloaded, and SHA-256 and modification time of its copy; copies are written
aside and renamed.
"""

import concurrent.futures
import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from features.errors import DataError, NoInputError, StorageError
from features.spec import Progress, silent
from features.storage.locks import exclusive
from features.storage.objects import Listed, ObjectStore, is_url
from features.storage.trees import sha256

#: Where copies lie, below the folder of all snapshots.
FOLDER = ".objects"
#: Objects that are downloaded at a time; a request waits far longer than it computes.
PARALLEL = 16
#: Copies after which the ledger is written, so that an interrupted download loses few.
_SAVED = 200

_TABLE = """
CREATE TABLE IF NOT EXISTS copies (url TEXT PRIMARY KEY, size INTEGER, tag TEXT, sha256 TEXT, mtime INTEGER)
WITHOUT ROWID
"""


@dataclass(frozen=True)
class Copy:
    """What the ledger says of a copy: size and tag of its object, SHA-256 and mtime (ns) of the file."""

    size: int
    tag: str
    sha256: str
    mtime: int


class Copies:
    """Copies of objects below one folder.

    Args:
        folder: made at the first download.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute().resolve()

    def path(self, url: str) -> Path:
        """Return where the copy of an object lies, or the copies of all below a URL.

        Raises:
            DataError: the address has empty parts, or parts such as ``..``, which are no names of files.
        """
        scheme, _, place = url.rstrip("/").partition("://")
        parts = place.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise DataError(
                f"the object {url[:200]!r} cannot be a file",
                expected="names between the slashes, other than . and ..",
                todo="rename it",
            )
        return self.folder.joinpath(scheme, *parts)

    def url(self, path: Path) -> str | None:
        """Return the URL that a path below the folder is the copy of, or None for any other path."""
        try:
            scheme, *parts = path.relative_to(self.folder).parts
        except ValueError:
            return None
        return f"{scheme}://{'/'.join(parts)}"

    def bring(self, url: str, progress: Progress = silent) -> Path:
        """Download what is at a URL, a file or a folder, as far as it is not here; remove what is gone there.

        Returns:
            The path of the copy.

        Raises:
            NoInputError: nothing is there.
            AccessError, UnavailableError: the store refuses, or cannot be reached.
            DataError: an object cannot be a file, or changed while it was downloaded.
            StorageError: the disk is full.
            TemporaryError: another process downloads the same.
        """
        store, place = ObjectStore(url), self.path(url)
        with self._exclusive(url):
            listing = store.listing()
            if not listing:
                raise NoInputError(f"nothing is there at {url}", todo="check the address given to --data")
            self._require_files(store, listing)
            self._remove_others(place, {self.path(_joined(store.url, name)) for name in listing})
            self._download(store, listing, progress)
        return place

    def bring_each(self, urls: Iterable[str], progress: Progress = silent) -> None:
        """Download single objects as far as they are not here; those that are not there are left out.

        Errors as of `bring`, but for NoInputError.
        """
        object_urls = sorted({url for url in urls if self._can_be_a_file(url)})
        buckets: dict[str, list[str]] = {}
        for url in object_urls:
            scheme, _, place = url.partition("://")
            bucket, _, name = place.partition("/")
            if name:
                buckets.setdefault(f"{scheme}://{bucket}", []).append(name)
        for bucket, names in buckets.items():
            store = ObjectStore(bucket)
            with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
                looks = zip(names, pool.map(store.look, names), strict=True)
                listing = {name: listed for name, listed in looks if listed is not None}
            for gone in set(names) - listing.keys():
                self.path(_joined(bucket, gone)).unlink(missing_ok=True)
            self._download(store, listing, progress)

    def _can_be_a_file(self, url: str) -> bool:
        try:
            self.path(url)
        except DataError:
            return False
        return is_url(url)

    def _exclusive(self, url: str) -> contextlib.AbstractContextManager[None]:
        key = hashlib.sha256(url.encode()).hexdigest()[:16]
        return exclusive(self.folder / ".locks" / f"{key}.lock", f"downloading {url}")

    def _require_files(self, store: ObjectStore, listing: Mapping[str, Listed]) -> None:
        """Refuse an object that is a folder of others as well."""
        for name in listing:
            parents = (name.rsplit("/", up)[0] for up in range(1, name.count("/") + 1))
            if both := next((parent for parent in parents if parent in listing), None):
                raise DataError(
                    f"{_joined(store.url, both)} is an object, and a folder of others",
                    got=_joined(store.url, name),
                    todo="rename one of them",
                )

    def _remove_others(self, place: Path, current_files: set[Path]) -> None:
        for folder, _, files in os.walk(place):
            for name in files:
                if (path := Path(folder, name)) not in current_files:
                    path.unlink()

    def _download(self, store: ObjectStore, listing: Mapping[str, Listed], progress: Progress) -> None:
        with _Ledger(self.folder / ".copies.sqlite") as ledger:
            urls = {name: _joined(store.url, name) for name in listing}
            records = ledger.known(urls.values())
            todo = [
                name
                for name, listed in listing.items()
                if not _is_current(records.get(urls[name]), listed, self.path(urls[name]))
            ]
            fetch = _Fetch(store, self)
            with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
                for start in range(0, len(todo), _SAVED):
                    part = todo[start : start + _SAVED]
                    copies = pool.map(fetch.one, part, [listing[name] for name in part])
                    ledger.add(zip((urls[name] for name in part), copies, strict=True))
                    progress("download", start + len(part), len(todo))


@dataclass(frozen=True)
class _Fetch:
    """Downloads objects of one store to where their copies lie."""

    store: ObjectStore
    copies: Copies

    def one(self, name: str, listed: Listed) -> Copy:
        """Download an object aside and rename it into place."""
        path = self.copies.path(_joined(self.store.url, name))
        aside = path.with_name(f".{os.urandom(8).hex()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.store.get(name, aside)
            if (size := aside.stat().st_size) != listed.size:
                raise DataError(
                    f"{_joined(self.store.url, name)} changed while it was downloaded",
                    got=f"{size:,} bytes",
                    expected=f"{listed.size:,}",
                    todo="repeat when nobody writes there",
                )
            digest = sha256(aside)
            aside.replace(path)
            return Copy(listed.size, listed.tag, digest, path.stat().st_mtime_ns)
        except OSError as error:
            raise StorageError(
                f"cannot write {path}", got=error.strerror or error, todo="free disk space, then repeat"
            ) from error
        finally:
            aside.unlink(missing_ok=True)


class _Ledger:
    """The record of all copies, in a SQLite file; one that is damaged is begun anew."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = self._open(path)
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
            self._database = self._open(path)

    def _open(self, path: Path) -> sqlite3.Connection:
        database = sqlite3.connect(path)
        try:
            database.execute(_TABLE)
        except BaseException:
            database.close()
            raise
        return database

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def known(self, urls: Iterable[str]) -> dict[str, Copy]:
        """Return what is recorded of some objects."""
        names, copies = list(urls), {}
        for start in range(0, len(names), 500):
            part = names[start : start + 500]
            marks = ",".join("?" * len(part))
            query = f"SELECT url, size, tag, sha256, mtime FROM copies WHERE url IN ({marks})"  # noqa: S608 - question marks only
            copies.update({url: Copy(*row) for url, *row in self._database.execute(query, part)})
        return copies

    def add(self, copies: Iterable[tuple[str, Copy]]) -> None:
        """Record copies."""
        rows = [(url, copy.size, copy.tag, copy.sha256, copy.mtime) for url, copy in copies]
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO copies VALUES (?, ?, ?, ?, ?)", rows)


def _is_current(copy: Copy | None, listed: Listed, path: Path) -> bool:
    """Return whether a copy is of the object as it is listed, and as it was written here."""
    if copy is None or (copy.size, copy.tag) != (listed.size, listed.tag):
        return False
    with contextlib.suppress(OSError):
        status = path.stat()
        return (status.st_size, status.st_mtime_ns) == (copy.size, copy.mtime)
    return False


def _joined(url: str, name: str) -> str:
    return f"{url}/{name}" if name else url


def local(place: str, folder: Path, progress: Progress = silent) -> Path:
    """Return the path of a source: of its copy below a folder where it is in an object store.

    Errors as of `Copies.bring`.
    """
    return Copies(folder).bring(place, progress) if is_url(place) else Path(place)
