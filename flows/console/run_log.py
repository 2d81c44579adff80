"""The log file of a training: notes, stages, epochs, warnings and errors with their times, secrets masked."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import MemoryHandler
from pathlib import Path

from flows.console import terminal
from flows.console.redaction import mask
from serving.process.logs import TextFormatter

#: Their records are logged from INFO on; those of libraries from WARNING on.
ROOMS = ("flows", "features", "models", "serving")
#: Records that are kept until the run's folder is known; reading the data takes a few dozen.
_EARLY = 10_000

_early: MemoryHandler | None = None


@contextmanager
def begun() -> Iterator[None]:
    """Collect what is logged for the run that will be opened, and show warnings on the terminal."""
    global _early
    before, _early = _early, MemoryHandler(_EARLY, flushLevel=logging.CRITICAL + 1, flushOnClose=False)
    try:
        with _attached(_early, _Shown(logging.WARNING)):
            yield
    finally:
        _early = before


@contextmanager
def opened(path: Path) -> Iterator[None]:
    """Log to a file, after what was logged before it was opened; a file that exists is continued."""
    file = _File(path, encoding="utf-8", errors="backslashreplace", delay=True)
    file.setFormatter(_Masked())
    if _early is not None:
        _early.setTarget(file)
        _early.flush()
        _early.setLevel(logging.CRITICAL + 1)
    try:
        with _attached(file):
            yield
    finally:
        file.close()


@contextmanager
def _attached(handler: logging.Handler, room_handler: logging.Handler | None = None) -> Iterator[None]:
    """Attach a handler to every logger, and another one to those of our rooms alone.

    What our rooms log goes nowhere else meanwhile: the terminal shows it already, and Prefect would again.
    """
    root, rooms = logging.getLogger(), [logging.getLogger(room) for room in ROOMS]
    settings = [(room.level, room.propagate) for room in rooms]
    attached = [(logger, handler) for logger in (root, *rooms)]
    attached += [(room, room_handler) for room in rooms if room_handler is not None]
    for logger, one in attached:
        logger.addHandler(one)
    for room in rooms:
        room.setLevel(logging.INFO)
        room.propagate = False
    try:
        yield
    finally:
        for logger, one in attached:
            logger.removeHandler(one)
        for room, (level, propagate) in zip(rooms, settings, strict=True):
            room.setLevel(level)
            room.propagate = propagate


class _Masked(TextFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


class _File(logging.FileHandler):
    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Let no training end, or its terminal fill, because its log cannot be written."""


class _Shown(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        # What the terminal itself logs was shown.
        if record.name != terminal.LOGGER:
            terminal.show(f"warning: {mask(record.getMessage())}")
