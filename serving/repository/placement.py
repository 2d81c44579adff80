"""Put a complete, synced copy of a candidate in its place by one rename."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features.errors import StorageError
from features.storage.files import sync_directory
from features.storage.trees import copy_tree, sync_tree
from serving.repository.faultpoints import fault
from serving.repository.release import MANIFEST


def place(candidate: Path, staged: Path, target: Path, manifest: dict[str, Any]) -> None:
    """Copy a candidate aside, add its manifest, sync, and rename it.

    Args:
        candidate: folder of the SavedModel; left as it is.
        staged: where the copy is made; nothing is left there.
        target: where it goes: the folder of a version in that of its model.
        manifest: what to record about it, besides its files, model and version.

    Raises:
        StorageError: the disk is full or fails; nothing of the version remains.
    """
    try:
        files = copy_tree(candidate, staged)
        fault("publish.after_copy")
        _write_manifest(staged, target, manifest, files)
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


def _write_manifest(staged: Path, target: Path, manifest: dict[str, Any], files: dict[str, str]) -> None:
    files.pop(MANIFEST, None)
    content = manifest | {
        "model": target.parent.name,
        "version": int(target.name),
        "published_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": files,
    }
    path = staged / MANIFEST
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True), encoding="utf-8")


def _tree_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
