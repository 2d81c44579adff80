"""Remember verdicts by file, so that an unchanged file is neither read nor decoded again.

A file counts as unchanged while its size, modification time, change time (both in nanoseconds) and
inode are those it was examined with. The index is a cache: deleting it costs time alone.
"""

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from features.errors import StorageError
from features.ingest.verdicts.verdict import Verdict, plain_of

#: Refusals that say nothing about the content, so that the next ingest tries again.
PASSING = frozenset(
    {"unreadable", "vanished", "changed", "missing", "crashed_decoder", "decode_timeout", "internal_error"}
)

_TABLE = """
CREATE TABLE IF NOT EXISTS verdicts (
    path BLOB PRIMARY KEY, size INTEGER, mtime INTEGER, ctime INTEGER, inode INTEGER, rules TEXT, verdict TEXT
) WITHOUT ROWID
"""
_BATCH = 500


class VerdictIndex:
    """The verdicts of one source, in a SQLite file.

    Args:
        path: of the file; made when missing, begun anew when damaged.
        rules: what verdicts depend on beside the content; those under other rules are not given back.

    Raises:
        StorageError: the disk is full.
    """

    def __init__(self, path: Path, rules: Mapping[str, Any]) -> None:
        self._path = path
        self._rules = json.dumps(rules, sort_keys=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = self._open()
        except sqlite3.DatabaseError:
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._path.unlink(missing_ok=True)
        try:
            self._database = self._open()
        except sqlite3.OperationalError as error:
            raise self._storage_error(error) from error

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, isolation_level=None)
        try:
            # Losing the last verdicts in a power cut costs a second look at those files, no more.
            database.execute("PRAGMA synchronous = OFF")
            database.execute(_TABLE)
            database.execute("SELECT count(path), max(inode) FROM verdicts WHERE path < x'00'").fetchone()
        except BaseException:
            database.close()
            raise
        return database

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def find(self, paths: Sequence[bytes], stamps: Sequence[tuple[int, ...] | None]) -> list[Verdict | None]:
        """Return the verdicts on files as they are now.

        Args:
            paths: absolute.
            stamps: of the files as they are now (validation.stamp_of), None where there is no file.

        Returns:
            For each file its verdict, or None where it must be examined.
        """
        verdicts: list[Verdict | None] = []
        for start in range(0, len(paths), _BATCH):
            batch = paths[start : start + _BATCH]
            entries: dict[bytes, tuple[tuple[int, ...], str]] = {}
            with contextlib.suppress(sqlite3.DatabaseError):
                entries.update(self._entries(batch))
            for path, stamp in zip(batch, stamps[start : start + _BATCH], strict=True):
                seen, text = entries.get(path, (None, ""))
                verdicts.append(
                    _unpack(text, self._seal(path, stamp), stamp) if stamp and seen == stamp else None
                )
        return verdicts

    def _entries(self, paths: Sequence[bytes]) -> Iterable[tuple[bytes, tuple[tuple[int, ...], str]]]:
        marks = ",".join("?" * len(paths))
        query = (
            "SELECT path, size, mtime, ctime, inode, verdict FROM verdicts "  # noqa: S608 - question marks only
            f"WHERE rules = ? AND path IN ({marks})"
        )
        for path, size, mtime, ctime, inode, verdict in self._database.execute(query, [self._rules, *paths]):
            yield path, ((size, mtime, ctime, inode), verdict)

    def add(self, verdicts: Iterable[tuple[bytes, Verdict]]) -> None:
        """Remember verdicts; those that may pass are left out.

        Raises:
            StorageError: the disk is full.
        """
        rows = [
            (path, *verdict.stamp, self._rules, _pack(verdict, self._seal(path, verdict.stamp)))
            for path, verdict in verdicts
            if verdict.stamp and verdict.reason not in PASSING
        ]
        try:
            self._insert(rows)
        except sqlite3.OperationalError as error:
            raise self._storage_error(error) from error
        except sqlite3.DatabaseError:
            self._database.close()
            self._begin_anew()
            self._insert(rows)

    def _insert(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        self._database.execute("COMMIT")

    def _seal(self, path: bytes, stamp: Sequence[int]) -> bytes:
        return json.dumps([self._rules, path.hex(), *stamp]).encode()

    def _storage_error(self, error: sqlite3.Error) -> StorageError:
        return StorageError(
            f"cannot write the verdict index {self._path}",
            got=str(error),
            todo="free disk space and repeat: checked files are not read again",
        )


def _pack(verdict: Verdict, seal: bytes) -> str:
    plain = plain_of(verdict)
    plain.pop("stamp")
    text = json.dumps(plain)
    return f"{_checksum(text, seal)} {text}"


def _unpack(sealed: str, seal: bytes, stamp: tuple[int, ...]) -> Verdict | None:
    """Return a stored verdict, unless its checksum shows that it is damaged or another file's."""
    checksum, _, text = sealed.partition(" ")
    if checksum != _checksum(text, seal):
        return None
    plain = json.loads(text)
    stored = plain.get("stored")
    if stored and not Path(stored).exists():
        return None
    return Verdict(**plain | {"stamp": stamp, "notes": tuple(plain.get("notes", ()))})


def _checksum(text: str, seal: bytes) -> str:
    return f"{zlib.crc32(text.encode(), zlib.crc32(seal)):08x}"
