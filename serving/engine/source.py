"""Finds the versions to serve: directories below a base path, chosen by a version policy."""

import logging
import os
import re
from pathlib import Path
from typing import Any

from serving import errors
from serving.repository.version_names import MAX_VERSION

_log = logging.getLogger(__name__)
_warned: set[str] = set()
# TensorFlow Serving reads a child's name with a lenient integer parser; 001 is version 1 to it.
MAX_LENGTH = 64
_NUMBER = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)


def parse_version(name: str) -> int | None:
    """Read a version as TensorFlow Serving does: a sign, blanks and leading zeros are allowed."""
    if len(name) > MAX_LENGTH or not _NUMBER.fullmatch(name):
        return None
    return int(name) if 0 <= int(name) <= MAX_VERSION else None


def versions_on_disk(base: Path, model: str) -> dict[int, Path]:
    """Return what lies below a base path under a number; what is no directory fails to load, as there.

    Raises:
        NotFound, PermissionDenied: the base path is not there, or cannot be read.
    """
    try:
        with os.scandir(base) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise errors.of_file(error)(
            f"Could not find base path {base} for servable {model} with error {error}", model=model
        ) from error
    versions: dict[int, Path] = {}
    for entry in entries:
        number = parse_version(entry.name)
        if number is not None:
            versions[number] = base / entry.name
        elif entry.name[:1].isnumeric():
            _warn_once(f"{base}/{entry.name}", "%s is skipped: a version is a directory named by a number")
    return versions


def identity(base: Path) -> tuple[int, int] | None:
    """Return what tells a folder from another of the same path, or None if there is none."""
    try:
        status = base.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _warn_once(subject: str, message: str) -> None:
    if subject not in _warned:
        _warned.add(subject)
        _log.warning(message, ascii(subject))


def aspired_versions(config: Any) -> dict[int, Path]:
    """Return the existing versions that a ModelConfig selects.

    Args:
        config: ``tensorflow.serving.ModelConfig``.

    Raises:
        NotFound, PermissionDenied: its base path is not there, or cannot be read.
    """
    present = versions_on_disk(Path(config.base_path), config.name)
    chosen = _chosen(config.model_version_policy, present)
    if not chosen:
        _warn_once(config.base_path, "no version found under base path %s")
    return chosen


def _chosen(policy: Any, present: dict[int, Path]) -> dict[int, Path]:
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return present
    if kind == "specific":
        numbers = set(policy.specific.versions)
        return {number: path for number, path in present.items() if number in numbers}
    count = max(policy.latest.num_versions, 1)
    return {number: present[number] for number in sorted(present, reverse=True)[:count]}
