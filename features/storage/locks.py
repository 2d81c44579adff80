"""One writer at a time: a lock that says who holds it and that dies with its holder."""

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


@contextlib.contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file for the length of a `with` block.

    The kernel drops the lock when its holder ends in whatever way, so a dead holder is taken over at
    once; the file's text (process id, host, start) only serves the message, and the file stays.

    Args:
        path: of the lock file.
        what: the work, as in "ingest of photos".

    Raises:
        TemporaryError: another process (or thread) holds the lock; names it.
        AccessError: the lock file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise AccessError(f"cannot make the lock file {path}", got=error.strerror) from error
    try:
        _take(handle, path, what)
        yield
    finally:
        os.close(handle)


def _take(handle: int, path: Path, what: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise TemporaryError(
            f"{what} is under way elsewhere",
            got=_holder(handle),
            todo=f"wait for it to end and repeat (lock file {path})",
        ) from None
    owner = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "start": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(owner).encode(), 0)


def _holder(handle: int) -> str:
    try:
        owner = json.loads(os.pread(handle, 4096, 0))
        return f"process {owner['pid']} on {owner['host']}, since {owner['start']}"
    except (ValueError, KeyError, TypeError):
        return "a process that has just begun"


class Lock:
    """A file lock that ends with its holder, across processes and within one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free; never waits."""
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            return False  # the run was sent and removed meanwhile
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed the folder, and another process made it anew.
            if os.fstat(file).st_ino != self.path.stat().st_ino:
                raise FileNotFoundError
        except OSError:
            os.close(file)
            return False
        self._file = file
        os.ftruncate(file, 0)
        os.write(file, json.dumps(_this_process()).encode())
        return True

    def release(self) -> None:
        """Free the lock; does nothing where it is not held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def holder(self) -> dict[str, Any]:
        """Say who holds the lock or held it last: pid, host, since; empty where unknown."""
        try:
            return json.loads(self.path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}


def _this_process() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": int(time.time())}
