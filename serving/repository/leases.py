"""Leases: a running server's word that it loads or serves a version, so that retention spares it."""

import os
from pathlib import Path

from features.storage.locks import FileLock, is_held
from serving.repository.claims import PRIVATE
from serving.repository.version_names import parse_version

FOLDER = "leases"


def lease(base: Path, version: int) -> FileLock | None:
    """Hold a version of the model at a base path until the lock is released or this process ends.

    Gives None if the base path belongs to no repository or cannot be written to (a read-only mount):
    nobody runs retention there.
    """
    folder = base / PRIVATE / FOLDER
    try:
        if not folder.parent.is_dir():
            return None
        folder.mkdir(exist_ok=True)
        return FileLock.acquire(folder / f"{version}.{os.getpid()}.{os.urandom(4).hex()}")
    except OSError:
        return None


def end(held: FileLock | None) -> None:
    """Release a lease."""
    if held is not None:
        held.path.unlink(missing_ok=True)
        held.release()


def leased_versions(base: Path) -> set[int]:
    """Return the versions held by living servers; remove the leases of dead ones."""
    folder = base / PRIVATE / FOLDER
    if not folder.is_dir():
        return set()
    held = set()
    for path in folder.iterdir():
        version = parse_version(path.name.partition(".")[0])
        if version is None:
            continue
        if is_held(path):
            held.add(version)
        else:
            path.unlink(missing_ok=True)
    return held
