"""Locks on files that the kernel releases when their owner dies.

The filelock package would truncate the file of a lock that another process holds, and has no shared locks:
ours says who the holder is, and takes a lock on a file only if that is still the one at its path.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from features.errors import AccessError, TemporaryError


class FileLock:
    """An open file with an flock on it; the lock ends with ``release`` or with the process.

    Two locks on one path exclude each other between threads of one process too, since each opens
    the file again.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self.path, self._handle = path, handle

    @classmethod
    def acquire(cls, path: Path, *, create: bool = True) -> "FileLock":
        """Wait for the lock on a file."""
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o644)
        fcntl.flock(handle, fcntl.LOCK_EX)
        return cls(path, handle)

    @classmethod
    def attempt(cls, path: Path, *, create: bool = False) -> "FileLock | None":
        """Take the lock on a file; return None if somebody holds it, or if the file was replaced meanwhile.

        Raises:
            OSError: the file cannot be opened, as where it is not there and `create` is false.
        """
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o644)
        lock = cls(path, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.release()
            return None
        if not lock._is_current():
            lock.release()
            return None
        return lock

    def _is_current(self) -> bool:
        try:
            return os.fstat(self._handle).st_ino == self.path.stat().st_ino
        except OSError:
            return False

    def sign(self) -> None:
        """Write process id, host and time into the file, for `holder` to read."""
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": int(time.time())}
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, json.dumps(owner).encode(), 0)

    def release(self) -> None:
        """Release the lock."""
        os.close(self._handle)


def holder(path: Path) -> dict[str, Any]:
    """Return who holds a lock, or held it last: pid, host, since (Unix time); empty if unknown."""
    try:
        owner = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on a file, made if need be, for the length of a with block; wait for it first."""
    lock = FileLock.acquire(path)
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Return whether a living process holds the lock on an existing file."""
    lock = FileLock.attempt(path)
    if lock is None:
        return True
    lock.release()
    return False


@contextlib.contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file for the length of a with block; never wait for it.

    A dead holder is taken over at once. The file stays, with the last holder's signature.

    Args:
        path: of the lock file.
        what: the work, as in "ingest of photos".

    Raises:
        TemporaryError: another process (or thread) holds the lock; names it.
        AccessError: the lock file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock.attempt(path, create=True)
    except OSError as error:
        raise AccessError(f"cannot create the lock file {path}", got=error.strerror) from error
    if lock is None:
        raise TemporaryError(
            f"{what} is already running in another process",
            got=_described(holder(path)),
            todo=f"wait for it to end and repeat (lock file {path})",
        )
    try:
        lock.sign()
        yield
    finally:
        lock.release()


def _described(owner: dict[str, Any]) -> str:
    try:
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(owner["since"]))
        return f"process {owner['pid']} on {owner['host']}, since {since}"
    except (KeyError, TypeError):
        return "a process that has just begun"
