"""Keep tracking events on disk until MLflow has confirmed them.

One folder per tracked run: ``events.jsonl``, one JSON object a line, only ever appended to;
``files/`` with what is to be uploaded; ``cursor.json``, how far MLflow has got. The process that
writes a run holds ``owner.lock``, the thread that sends it ``sender.lock``: both are ``flock``
locks, so the kernel frees them when a process dies, however it dies.
"""

import json
import math
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import StorageError, TemporaryError
from features.storage.files import write_file
from features.storage.locks import FileLock, holder, locked
from flows.console.redaction import slug

EVENTS, CURSOR, FILES, REJECTED = "events.jsonl", "cursor.json", "files", "rejected.jsonl"
REJECTED_FILES = ".rejected"  #: what events of REJECTED would have uploaded, by run
#: What a cursor keeps of MLflow's names for things.
IDS = ("experiment_id", "run_id", "versions", "models", "tables")
GONE = ".gone-"  #: begins the name of a folder that is being deleted

#: At most this many seconds of metrics are lost to a power failure; a killed process loses none.
SYNC_SECONDS = 1.0


@dataclass(frozen=True)
class Event:
    """One thing that happened to a run.

    Attributes:
        kind: what happened, such as ``metrics``.
        at: when, in milliseconds since 1970.
        body: the rest, plain data.
        end: offset in the file just behind it.
    """

    kind: str
    at: int
    body: Mapping[str, Any]
    end: int


class RunLock:
    """A lock in the folder of a run, free until `acquire` has it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: FileLock | None = None

    def acquire(self) -> bool:
        """Take and sign the lock if it is free; never waits."""
        try:
            self._lock = FileLock.attempt(self.path, create=True)
        except FileNotFoundError:
            return False  # the run was sent and removed meanwhile
        if self._lock is not None:
            self._lock.sign()
        return self._lock is not None

    def release(self) -> None:
        """Free the lock; does nothing if it is not held."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def holder(self) -> dict[str, Any]:
        """Return who holds the lock, or held it last: pid, host, since; empty if unknown."""
        return holder(self.path)


class Spool:
    """The folder of one run, as the sender sees it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.owner = RunLock(directory / "owner.lock")
        self.sender = RunLock(directory / "sender.lock")

    def read(self, offset: int = 0) -> Iterator[Event]:
        """Yield the events from an offset on; a line still being written ends the iteration.

        A line that cannot be parsed is yielded as an event of kind ``damaged``.
        """
        with suppress(FileNotFoundError), open(self.directory / EVENTS, "rb") as stream:
            stream.seek(offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                yield _parsed(line, offset)

    def size(self) -> int:
        """Return the bytes of all events, 0 if there are none."""
        try:
            return (self.directory / EVENTS).stat().st_size
        except FileNotFoundError:
            return 0

    def cursor(self) -> dict[str, Any]:
        """Return how far sending has got and what MLflow called things; empty at the beginning."""
        try:
            return json.loads((self.directory / CURSOR).read_text("utf-8"))
        except (OSError, ValueError):
            return {}

    def save_cursor(self, cursor: Mapping[str, Any]) -> None:
        """Record how far sending has got, atomically."""
        write_file(self.directory / CURSOR, json.dumps(cursor, sort_keys=True))

    def last_state(self) -> tuple[str, int]:
        """Return the state the events end in and the time of the last one.

        Returns:
            "" if there is no event, "RUNNING", or the status of the last finish.
        """
        state, at = "", 0
        for event in self.read():
            at = max(at, event.at)
            if event.kind in ("start", "resume"):
                state = "RUNNING"
            elif event.kind == "finish":
                state = event.body["status"]
        return state, at

    def reject(self, event: Event, reason: str, ids: Mapping[str, Any] | None = None) -> None:
        """Keep an event that MLflow refused beside the other runs' rejected ones, and its file.

        Args:
            event: the event.
            reason: why MLflow refused it.
            ids: what MLflow called the run.
        """
        record = {"run": self.directory.name, "kind": event.kind, "at": event.at, "body": event.body}
        line = json.dumps(record | {"reason": reason} | ({"ids": ids} if ids else {}))
        folder = self.directory.parent
        with rejections(folder):
            if "file" in event.body and self.staged(event.body["file"]).exists():
                destination = (
                    folder / REJECTED_FILES / self.directory.name / self.staged(event.body["file"]).name
                )
                destination.parent.mkdir(parents=True, exist_ok=True)
                self.staged(event.body["file"]).rename(destination)
            with open(folder / REJECTED, "a", encoding="utf-8") as stream:
                stream.write(line + "\n")

    def staged(self, file: str) -> Path:
        """Return the folder in which a staged file lies alone."""
        return self.directory / Path(*Path(file).parts[:2])

    def unstage(self, file: str) -> None:
        """Delete a staged file that has been sent."""
        shutil.rmtree(self.staged(file), ignore_errors=True)

    def remove(self) -> None:
        """Delete the folder; at no time is a part of it left under its name."""
        gone = self.directory.with_name(f"{GONE}{uuid.uuid4().hex}")
        with suppress(FileNotFoundError):
            self.directory.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)


class Journal(Spool):
    """The folder of one run, as its writer sees it: holds the owner's lock until closed."""

    def __init__(self, directory: Path, *, patience: float = 1.0) -> None:
        """Open or make a folder.

        Args:
            directory: the run's folder.
            patience: seconds to wait for another process that only looks after the folder.

        Raises:
            TemporaryError: a process that is alive writes this run.
            StorageError: the folder cannot be written.
        """
        super().__init__(directory)
        self._guard = threading.Lock()
        self._synced = 0.0
        try:
            directory.mkdir(parents=True, exist_ok=True)
            if not self._acquire(patience):
                owner = self.owner.holder()
                raise TemporaryError(
                    f"run {directory.name} is in use by another process",
                    got=f"pid {owner.get('pid', 'unknown')} on {owner.get('host', 'an unknown host')}",
                    todo="wait for it to end, or stop it",
                )
            self._drop_torn_tail()
            self._file = os.open(
                directory / EVENTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644
            )
        except OSError as error:
            self.owner.release()
            raise _storage_error(directory, error) from error

    def _acquire(self, patience: float) -> bool:
        deadline = time.monotonic() + patience
        while not self.owner.acquire():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True

    @property
    def closed(self) -> bool:
        """Whether the journal has been closed."""
        return self._file < 0

    def _drop_torn_tail(self) -> None:
        """Cut off a last line without an end: its writer was killed before it was told of success."""
        end = 0
        for event in self.read():
            end = event.end
        if end < self.size():
            os.truncate(self.directory / EVENTS, end)

    def append(self, kind: str, body: Mapping[str, Any], *, at: int | None = None) -> None:
        """Write one event behind the others; returns when the operating system has it.

        Metrics are flushed to the disk at most once a second, everything else at once.

        Raises:
            StorageError: the disk is full or fails.
        """
        record = {"kind": kind, "at": now() if at is None else at, "body": body}
        line = json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        with self._guard:
            before = self.size()
            try:
                _write_all(self._file, line)
                if kind != "metrics" or time.monotonic() - self._synced > SYNC_SECONDS:
                    os.fsync(self._file)
                    self._synced = time.monotonic()
            except OSError as error:
                os.ftruncate(self._file, before)
                raise _storage_error(self.directory, error) from error

    def stage(self, source: Path, *, name: str | None = None, link: bool = False) -> str:
        """Copy a file or folder, so that it can be sent after the original is gone.

        Args:
            source: the file or folder.
            name: what to call it, where not as it is called.
            link: hard-link files instead of copying where the file system allows it; for files
                that are never changed in place.

        Returns:
            Its path relative to the folder.
        """
        target = self._place(name or source.name)
        copy = _link_or_copy if link else shutil.copy2
        try:
            if source.is_dir():
                shutil.copytree(source, target, copy_function=copy)
            else:
                copy(str(source), str(target))
        except (OSError, shutil.Error) as error:
            raise _storage_error(source, error) from error
        return str(target.relative_to(self.directory))

    def stage_bytes(self, name: str, content: bytes) -> str:
        """Write a file of this name to send; returns its path relative to the folder."""
        target = self._place(name)
        try:
            target.write_bytes(content)
        except OSError as error:
            raise _storage_error(target, error) from error
        return str(target.relative_to(self.directory))

    def _place(self, name: str) -> Path:
        folder = self.directory / FILES / uuid.uuid4().hex
        folder.mkdir(parents=True)
        return folder / slug(name.replace("/", "_"), 120)

    def close(self) -> None:
        """Flush and free the lock."""
        with self._guard:
            if self._file >= 0:
                os.fsync(self._file)
                os.close(self._file)
                self._file = -1
        self.owner.release()


@contextmanager
def rejections(folder: Path) -> Iterator[None]:
    """Have the rejected events of a spool folder to oneself; waits for whoever else has them."""
    with locked(folder / "rejected.lock"):
        yield


def now() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def number(value: float) -> float | str:
    """Write a number so that any JSON reader takes it: NaN and infinities as text.

    ``float`` reads both back.
    """
    real = float(value)
    return real if math.isfinite(real) else str(real)


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def _parsed(line: bytes, end: int) -> Event:
    try:
        record = json.loads(line)
        return Event(record["kind"], record["at"], record["body"], end)
    except (ValueError, KeyError, TypeError):
        return Event("damaged", 0, {"line": line.decode("utf-8", "backslashreplace")}, end)


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def _storage_error(path: Path, error: Exception) -> StorageError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return StorageError(
        f"cannot write tracking events to {path}",
        got=reason,
        todo="free disk space and run the command again",
    )
