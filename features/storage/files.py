"""Read and write files so that a crash, a link or a full disk does no harm."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from features.errors import StorageError
from features.quarantine import RefusedError

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def stamp_of(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return what changes with a file's content: size, mtime, ctime (ns), inode."""
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
            raise RefusedError("changed", "it was a file when it was listed, but no longer is")
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
        return RefusedError("vanished", "it was deleted after it was listed")
    if error.errno == errno.ELOOP:
        return RefusedError("changed", "it was a file when it was listed, and is a symbolic link now")
    return RefusedError("unreadable", error.strerror or str(error))


@contextlib.contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Open a file to be written aside; flush it to disk and rename it into place at the end.

    A reader sees the content before or the content after, never a part; an exception leaves nothing behind.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with aside.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    sync_directory(path.parent)


def write_file(path: Path, content: bytes | str, todo: str = "free some space and repeat") -> None:
    """Write a file aside, flush it to disk and rename it into place.

    Args:
        path: of the file; its folder is made.
        content: text is written as UTF-8.
        todo: what the error tells the user to do.

    Raises:
        StorageError: the disk is full or the write failed; nothing is left behind.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        with writing(path) as stream:
            stream.write(data)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}", got=error.strerror, expected=f"{len(data):,} bytes free", todo=todo
        ) from error


def sync_directory(directory: Path) -> None:
    """Make a directory's entries durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
