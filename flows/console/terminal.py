"""What the terminal shows: progress bars and tables on stderr and stdout, through rich.

Results go to stdout, so that they can be piped; progress, notes and errors go to stderr.
"""

import io
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Protocol

from features.names import printable

if TYPE_CHECKING:
    # rich is imported where something is printed, so that --help does not wait for it.
    from rich.console import Console

    from features import spec

#: What takes longer than this shows progress.
QUIET_SECONDS = 2.0

#: Logs what is shown, for the log file of a run.
LOGGER = "flows"
log = logging.getLogger(LOGGER)


@cache
def stdout() -> "Console":
    """Return the console of results."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 200)


@cache
def stderr() -> "Console":
    """Return the console of progress and notes."""
    from rich.console import Console

    return Console(stderr=True)


def escape_unprintable() -> None:
    """Let a character that the terminal's encoding lacks be escaped instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def show(text: str) -> None:
    """Print one line to stderr, also with ``--quiet``."""
    stderr().print(printable(text), markup=False, highlight=False, soft_wrap=True)


def note(text: str) -> None:
    """Print one line to stderr, unless ``--quiet`` hides it, and log it."""
    log.info(text)
    _say(text)


def warn(text: str) -> None:
    """Print one line to stderr that ``--quiet`` does not hide, and log it as a warning."""
    log.warning(text)
    show(text)


def _say(text: str) -> None:
    if not _quiet:
        show(text)


_quiet = False


@contextmanager
def hushed(quiet: bool = True) -> Iterator[None]:
    """Print no notes meanwhile, as with ``--quiet``; warnings and errors are printed.

    Args:
        quiet: False changes nothing.
    """
    global _quiet
    before, _quiet = _quiet, quiet or _quiet
    try:
        yield
    finally:
        _quiet = before


def fail(text: str) -> None:
    """Print the one line of an error to stderr."""
    sys.stderr.write(f"error: {printable(text)}\n")
    sys.stderr.flush()


@contextmanager
def progress_bars(*, quiet: bool = False) -> "Iterator[spec.Progress]":
    """Show a bar for each stage that reports progress; a plain line where stderr is no terminal.

    Args:
        quiet: show nothing, as with ``--quiet``.

    Yields:
        The callback that report_progress passes everything to meanwhile.
    """
    global _current
    before = _current
    with _chosen(quiet) as _current:
        try:
            yield _current
        finally:
            _current = before


class Display(Protocol):
    """What shows progress."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Show how far a stage is."""

    def describe(self, stage: str, text: str) -> None:
        """Show what a stage has reached, such as the metrics of an epoch."""

    def mark(self, stage: str, text: str) -> None:
        """Show beside a stage, as long as it lasts, how it began."""


class _Silent:
    def __call__(self, stage: str, done: int, total: int | None) -> None:
        pass

    def describe(self, stage: str, text: str) -> None:
        pass

    def mark(self, stage: str, text: str) -> None:
        pass


_current: Display = _Silent()


def report_progress(stage: str, done: int, total: int | None) -> None:
    """Pass progress to the bars shown now, if any; steps hand this to the other rooms."""
    _current(stage, done, total)


def report_epoch(phase: str, epoch: int, metrics: Mapping[str, float]) -> None:
    """Show the metrics of a training's epoch beside its progress.

    Args:
        phase: of the training.
        epoch: counted over all phases, from 1.
        metrics: by name; those of the validation split begin with ``validation_``.
    """
    own = {name: value for name, value in metrics.items() if name not in ("learning_rate", "seconds")}
    held_out = {
        name.removeprefix("validation_"): own.pop(name) for name in [*own] if name.startswith("validation_")
    }
    text = f"epoch {epoch}: {_figures(own)}" + (f"; validation: {_figures(held_out)}" if held_out else "")
    log.info("train: %s: %s", phase, text)
    _current.describe(f"train: {phase}", text)


def report_resumed(stage: str, epoch: int) -> None:
    """Show from which epoch on a training that was cut off goes on.

    Args:
        stage: of the training, as it reports progress.
        epoch: counted over all phases, from 1.
    """
    log.info("%s: resumed at epoch %d", stage, epoch)
    _current.mark(stage, f"resumed at epoch {epoch}")


def _figures(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in sorted(metrics.items(), reverse=True))


@contextmanager
def busy(stage: str, *, shown: bool = True) -> Iterator[None]:
    """Show that a stage is under way which cannot say how far it is."""
    if shown:
        report_progress(stage, 0, None)
    yield
    if shown:
        report_progress(stage, 1, 1)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show, on a terminal alone, that a command is at work which prints nothing for some seconds."""
    if stderr().is_terminal and not _quiet:
        from rich.console import Console

        # Through a descriptor of its own: what native code prints may go to nowhere meanwhile.
        with (
            open(os.dup(2), "w") as own,
            Console(file=own, force_terminal=True).status(f"{printable(what)} ..."),
        ):
            yield
    else:
        yield


@contextmanager
def _chosen(quiet: bool) -> Iterator[Display]:
    if quiet:
        yield _Silent()
    elif not stderr().is_terminal:
        yield _Lines()
    else:
        from flows.console import bars

        with bars.show(stderr()) as display:
            yield display


class _Lines:
    """For log files: a line when a stage has taken two seconds, and at each further tenth of it."""

    def __init__(self) -> None:
        self.begun: dict[str, float] = {}
        self.shown: dict[str, int] = {}
        self.described: dict[str, int] = {}
        self.lock = threading.Lock()

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        tenth = 10 * done // total if total else int(math.log2(done + 1))
        with self.lock:
            if stage not in self.begun and total is None:
                self.begun[stage] = time.monotonic()
                _say(f"{stage} ...")
                return
            begun = self.begun.setdefault(stage, time.monotonic())
            if time.monotonic() - begun < QUIET_SECONDS or tenth <= self.shown.get(stage, -1):
                return
            self.shown[stage] = tenth
        if total != 1:
            _say(f"{stage}: {done:,}{f' of {total:,}' if total else ''}")

    def describe(self, stage: str, text: str) -> None:
        with self.lock:
            # As often as the stage itself has told how far it is.
            if self.described.get(stage) == self.shown.get(stage):
                return
            self.described[stage] = self.shown[stage]
        _say(f"{stage}: {text}")

    def mark(self, stage: str, text: str) -> None:
        _say(f"{stage}: {text}")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table to stdout; the last column wraps, no other does."""
    from rich.table import Table

    grid = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(printable(str(cell)) for cell in row))
    stdout().print(grid)
