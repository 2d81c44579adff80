"""The log of a server that Servable starts: marked at each start, and searched for its last error.

Prefect's and MLflow's servers go on after an error and say so in their log alone. A record may go on
over many lines (a traceback); times may lack the date, or be missing altogether.
"""

import datetime
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flows.console.redaction import mask

#: As much of the end of a log is read.
MOST_BYTES = 2_000_000
LONGEST_TEXT = 300

_START = "servable: server started"
_STARTED = re.compile(rf"{_START} (?P<time>\S+) (?P<address>\S+)")
#: Prefect's "13:22:49.352 | ERROR   | name - text", MLflow's "2026/11/28 13:21:58 ERROR name: text",
#: gunicorn's "[2026-11-28 13:21:58 +0000] [12] [ERROR] text", uvicorn's "ERROR:    text".
_HEAD = re.compile(
    r"(?!\s)[^A-Za-z0-9\s]{0,2}(?P<time>(?:\d{4}[-/]\d\d[-/]\d\d[ T])?\d\d:\d\d:\d\d)?[^A-Za-z]{0,24}"
    r"\b(?P<level>DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL)\b(?P<text>[\s:|\]-].*|$)"
)
_TRACEBACK = re.compile(r"[\s+|]*(?:Exception Group )?Traceback \(most recent call last\):")
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_ERRORS = frozenset({"ERROR", "CRITICAL", "FATAL"})
#: The line of a traceback that names the exception, bare or inside an exception group.
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:: .*)?$")


@dataclass(frozen=True)
class LoggedError:
    """One error in a log.

    Attributes:
        text: what it says, in one line; of a traceback the exception.
        time: when, as far as the log says; empty if it does not.
        earlier: it is of an earlier start of the server than the last.
        end: offset in the file just behind it.
    """

    text: str
    time: str
    earlier: bool
    end: int

    def sentence(self, log: Path) -> str:
        """Name the log and the error, and say when it was."""
        when = " ".join(filter(None, (f"at {self.time}" if self.time else "", self._start())))
        return f"error in {log} ({when}): {self.text}"

    def _start(self) -> str:
        return "of an earlier start" if self.earlier else "since the last start"


def open_log(path: Path, address: str) -> BinaryIO:
    """Open a log for a server's output, marked with a line that says when and at which address it starts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = path.open("ab")
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    stream.write(f"{_START} {now} {address}\n".encode())
    stream.flush()
    return stream


def address(path: Path) -> str | None:
    """Return the address of the server started last; None if it is not in the log."""
    starts = [match["address"] for _, line in _lines(path, 0) if (match := _STARTED.match(line))]
    return starts[-1] if starts else None


class Watch:
    """Reports new errors in a log, each kind once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = self._before = size(path)
        self._kinds: set[str] = set()

    def fresh(self) -> list[LoggedError]:
        """List what is new; a log that is being written to at this moment is read at the next call."""
        now, before = size(self.path), self._before
        self._before = now
        if now == self._offset or now != before:
            return []
        entries, self._offset = errors(self.path, self._offset), now
        return [error for error in entries if self._is_new(error)]

    def tell_last(self, notify: Callable[[str], None]) -> None:
        """Report the last error since the last start, if there is one."""
        error = last_error(self.path)
        if error and not error.earlier and self._is_new(error):
            notify(error.sentence(self.path))

    def tell_fresh(self, notify: Callable[[str], None]) -> None:
        """Report new errors."""
        for error in self.fresh():
            notify(error.sentence(self.path))

    def _is_new(self, error: LoggedError) -> bool:
        kind = re.sub(r"\d+", "", error.text)
        new = kind not in self._kinds
        self._kinds.add(kind)
        return new


def size(path: Path) -> int:
    """Return the size of a log in bytes; 0 if it does not exist."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def last_error(path: Path) -> LoggedError | None:
    """Return the last error in a log; None if there is none, or no log."""
    return next(iter(reversed(errors(path))), None)


def explain(path: Path) -> str:
    """Describe the last start in a log: its last error, if there is one."""
    error = last_error(path)
    return error.text if error and not error.earlier else "no error in its log"


def errors(path: Path, offset: int = 0) -> list[LoggedError]:
    """List the errors from an offset on, the oldest first."""
    records = list(_records(path, offset))
    last_start = max((number for number, record in enumerate(records) if record.start), default=-1)
    started = ""
    listed = []
    for number, record in enumerate(records):
        started = record.start or started
        if record.is_error:
            time = record.time or (f"{started} or later" if started else "")
            listed.append(LoggedError(record.sentence(), time, number < last_start, record.end))
    return listed


@dataclass
class _Record:
    level: str
    time: str
    lines: list[str]
    end: int
    start: str = ""

    @property
    def is_error(self) -> bool:
        return self.level in _ERRORS

    def takes_a_traceback(self) -> bool:
        """Return whether a traceback on the next line belongs to this record, not to a server that exits."""
        return self.is_error or (self.level.startswith("WARN") and len(self.lines) == 1)

    def sentence(self) -> str:
        """Join what the first line says and the exception of the last traceback."""
        said, traceback, _ = self.lines[0].partition("Traceback (most recent call last):")
        lines = [traceback, *self.lines[1:]]
        parts = filter(None, (said.strip(" :|]-\t"), _exception(lines)))
        text = mask("; ".join(dict.fromkeys(" ".join(part.split()) for part in parts)))
        return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 3]}..."


def _records(path: Path, offset: int) -> Iterator[_Record]:
    record: _Record | None = None
    for end, line in _lines(path, offset):
        if fresh := _begin(line, end, record):
            if record:
                yield record
            record = fresh
        elif record:
            record.lines.append(line)
            record.end = end
    if record:
        yield record


def _begin(line: str, end: int, before: _Record | None) -> _Record | None:
    """Return the record that starts in a line; None if it continues the previous one."""
    if started := _STARTED.match(line):
        return _Record("INFO", "", [line], end, started["time"])
    if head := _HEAD.match(line):
        return _Record(head["level"], head["time"] or "", [head["text"]], end)
    if _TRACEBACK.match(line) and not (before and before.takes_a_traceback()):
        return _Record("ERROR", "", ["", line], end)
    return None


def _lines(path: Path, offset: int) -> Iterator[tuple[int, str]]:
    """Yield the lines with the offsets behind them; a last one without an end comes as it is."""
    try:
        stream = path.open("rb")
    except OSError:
        return
    with stream:
        begin = max(offset, stream.seek(0, os.SEEK_END) - MOST_BYTES)
        end = stream.seek(begin)
        for raw in stream:
            end += len(raw)
            yield end, _COLOUR.sub("", raw.decode("utf-8", "replace")).rstrip("\r\n")


def _exception(lines: list[str]) -> str:
    """Return the line of the last traceback with the exception."""
    begins = [number for number, line in enumerate(lines) if _TRACEBACK.match(line)]
    if not begins:
        return ""
    for line in lines[begins[-1] + 1 :]:
        plain = re.sub(r"^\s*\|\s?", "", line)
        if _EXCEPTION.match(plain):
            return plain
    return ""
