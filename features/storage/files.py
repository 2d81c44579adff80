"""Read and write files so that a crash, a link or a full disk does no harm."""

import contextlib
import errno
import os
import stat
from pathlib import Path

from features.errors import StorageError
from features.quarantine import RefusedError

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def stamp_of(status: os.stat_result) -> tuple[int, int, int, int]:
    """Give what changes when a file's content changes: size, mtime, ctime (ns), inode."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def read_file(path: bytes, limit: int) -> tuple[bytes, tuple[int, int, int, int]]:
    """Read a regular file whole; never follow a link, never wait for a FIFO.

    Returns:
        The content, and its stamp (see `stamp_of`).

    Raises:
        RefusedError: ``vanished``, ``unreadable``, ``changed``, ``too_large``.
    """
    try:
        handle = os.open(path, _OPEN)
    except OSError as error:
        raise _refusal(error) from None
    try:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise RefusedError("changed", "it was a file when it was listed, and is none now")
        if before.st_size > limit:
            raise RefusedError("too_large", f"{before.st_size:,} bytes; at most {limit:,} are read")
        content = _read_all(handle, before.st_size)
        after = os.fstat(handle)
    except OSError as error:
        raise _refusal(error) from None
    finally:
        with contextlib.suppress(OSError):
            os.close(handle)
    if len(content) != before.st_size or stamp_of(before)[:2] != stamp_of(after)[:2]:
        raise RefusedError("changed", f"{before.st_size} bytes when opened, {len(content)} when read")
    return content, stamp_of(before)


def _read_all(handle: int, size: int) -> bytes:
    """Read up to size + 1 bytes: one more than expected shows that the file grew."""
    content = os.read(handle, size + 1)
    if len(content) >= size or not content:
        return content
    parts = [content]
    missing = size + 1 - len(content)
    while missing > 0 and (part := os.read(handle, missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _refusal(error: OSError) -> RefusedError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return RefusedError("vanished", "it was listed, and is gone")
    if error.errno == errno.ELOOP:
        return RefusedError("changed", "it was a file when it was listed, and is a symbolic link now")
    return RefusedError("unreadable", error.strerror or str(error))


def write_file(path: Path, content: bytes) -> None:
    """Write aside, flush to disk and rename.

    Raises:
        StorageError: the disk is full or the write failed; nothing is left behind.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise StorageError(
            f"cannot write {path}",
            got=error.strerror,
            expected=f"{len(content):,} bytes free",
            todo="free some space and repeat: training goes on from the last checkpoint",
        ) from error


def write_atomically(path: Path, text: str) -> None:
    """Write text aside, flush it to disk and rename it into place, so no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(path)
