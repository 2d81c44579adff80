"""Put a complete, synced copy of a candidate in its place by one rename."""

import shutil
from pathlib import Path
from typing import Any

from features.errors import StorageError
from features.storage.files import sync_directory
from features.storage.trees import copy_tree, sync_tree
from serving.repository.faultpoints import fault
from serving.repository.release import Describe, describe


def place(
    candidate: Path, staged: Path, target: Path, manifest: dict[str, Any], texts: Describe | None = None
) -> None:
    """Copy a candidate aside, add its manifest and texts, sync, and rename it.

    Args:
        candidate: folder of the SavedModel; left as it is.
        staged: where the copy is made; nothing is left there.
        target: where it goes: the folder of a version in that of its model.
        manifest: what to record about it, besides its files, model and version.
        texts: makes the texts that are put beside the SavedModel; None for none.

    Raises:
        StorageError: the disk is full or fails; nothing of the version remains.
    """
    try:
        files = copy_tree(candidate, staged)
        fault("publish.after_copy")
        described = {**manifest, "model": target.parent.name, "version": int(target.name)}
        describe(staged, described, files, texts)
        fault("publish.after_manifest")
        sync_tree(staged)
        fault("publish.after_fsync")
        fault("publish.before_rename")
        staged.rename(target)
        sync_directory(target.parent)
        fault("publish.after_rename")
    except OSError as error:
        raise StorageError(
            f"cannot publish version {target.name} of model {target.parent.name}",
            got=error,
            expected=f"{_tree_bytes(candidate)} bytes free at {target.parent.parent}",
            todo="free some disk space and publish again",
        ) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _tree_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
