"""The append-only record of what happened to a model's versions: one JSON object a line."""

import getpass
import json
import logging
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)


class History:
    """Events of one model.

    Each event has ``at`` (UTC, ISO 8601), ``event`` (publish, promote, rollback, repair, delete, or refused:
    a move that was not followed), ``version``, ``reason`` and ``by`` (USER@HOST, or what did it); those that
    move a label also have ``label``, ``previous`` and the ``metrics`` of the version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(
        self, event: str, version: int | None, reason: str, *, by: str = "", **more: Any
    ) -> dict[str, Any]:
        """Write one event durably; a line torn by an earlier crash is closed first."""
        record = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            "version": version,
            "reason": reason,
            "by": by or actor(),
            **more,
        }
        line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(handle).st_size
            torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            os.write(handle, (b"\n" if torn else b"") + line)
            os.fsync(handle)
        finally:
            os.close(handle)
        return record

    def events(self) -> list[dict[str, Any]]:
        """Read every whole event, oldest first; a line torn by a crash is skipped."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        parsed = (self._parse(line, number) for number, line in enumerate(lines, 1) if line)
        return [event for event in parsed if event is not None]

    def _parse(self, line: bytes, number: int) -> dict[str, Any] | None:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict) and "event" in event:
            return event
        _log.warning("%s line %d is skipped: not a complete event", self.path, number)
        return None


def actor() -> str:
    """Name who runs this process: USER@HOST."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without an entry, as in containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
