"""Advisory file locks that the kernel releases when their owner dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FileLock:
    """An open file with an flock on it; the lock ends with ``release`` or with the process.

    Two locks on one path exclude each other between threads of one process too, since each opens
    the file anew.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self.path, self._handle = path, handle

    @classmethod
    def acquire(cls, path: Path, *, create: bool = True, exclusive: bool = True) -> "FileLock":
        """Wait for the lock on a file."""
        handle = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o644)
        fcntl.flock(handle, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        return cls(path, handle)

    @classmethod
    def attempt(cls, path: Path) -> "FileLock | None":
        """Take the lock on an existing file, or give None where somebody holds it."""
        handle = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        return cls(path, handle)

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._handle)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on a file, made if need be, for the length of a with block."""
    lock = FileLock.acquire(path)
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Say whether a living process holds the lock on an existing file."""
    lock = FileLock.attempt(path)
    if lock is None:
        return True
    lock.release()
    return False
