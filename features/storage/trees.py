"""Copy, hash, flush and remove trees of files."""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from features.errors import DataError
from features.storage.files import sync_directory

CHUNK = 1 << 20


def sha256(path: Path) -> str:
    """Hash a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def regular_files(directory: Path) -> Iterator[str]:
    """Yield the relative POSIX paths of all files below a directory, in sorted order.

    Raises:
        DataError: something there is neither a directory nor a regular file (links included).
    """
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            yield from (f"{entry.name}/{child}" for child in regular_files(directory / entry.name))
        elif stat.S_ISREG(mode):
            yield entry.name
        else:
            raise DataError(
                f"{entry.path} cannot be published",
                got="a link or special file",
                expected="regular files and directories",
                todo="replace it with the file it points to",
            )


def copy_tree(source: Path, target: Path) -> dict[str, str]:
    """Copy a directory and give the sha256 of every file by relative path; nothing is synced yet."""
    target.mkdir(parents=True)
    return {name: _copy_file(source / name, target / name) for name in regular_files(source)}


def _copy_file(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(source, "rb") as reader, open(target, "xb") as writer:
        while chunk := reader.read(CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()


def sync_tree(directory: Path) -> None:
    """Make every file and every directory of a tree durable, children before parents."""
    for folder, _, files in os.walk(directory, topdown=False):
        for name in files:
            handle = os.open(Path(folder, name), os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_directory(Path(folder))


def remove_tree(directory: Path) -> None:
    """Remove a directory; one that is gone already is fine."""
    shutil.rmtree(directory, ignore_errors=True)
