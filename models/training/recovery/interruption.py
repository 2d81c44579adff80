"""End a training at the next step when asked to by Ctrl-C or SIGTERM."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from features.errors import ServableError


class TrainingInterruptedError(ServableError):
    """The training was interrupted; its progress is saved. The exit code is 128 plus the signal."""

    def __init__(self, number: int, position: str) -> None:
        self.exit_code = 128 + number
        super().__init__(
            f"training was interrupted by {signal.Signals(number).name} at {position}; its progress is saved",
            todo="repeat the command to continue",
        )


class Bell:
    """Whether, and by which signal, the training was asked to end."""

    rung: int | None = None


@contextmanager
def listening() -> Iterator[Bell]:
    """Turn the first SIGINT or SIGTERM into a rung bell; a second one ends the process at once.

    Outside the main thread Python delivers no signals: the bell then never rings.
    """
    bell = Bell()
    if threading.current_thread() is not threading.main_thread():
        yield bell
        return
    before: dict[int, Any] = {}

    def ring(number: int, frame: FrameType | None) -> None:
        bell.rung = number
        signal.signal(number, signal.SIG_DFL)

    for signal_number in (signal.SIGINT, signal.SIGTERM):
        before[signal_number] = signal.signal(signal_number, ring)
    try:
        yield bell
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
