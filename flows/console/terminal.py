"""What the terminal shows: progress bars and tables on stderr and stdout, through rich.

Results go to stdout, so that they can be piped; progress, notes and errors go to stderr.
"""

import io
import math
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from features import spec

#: What takes longer than this shows progress.
QUIET_SECONDS = 2.0

stdout = Console(width=None if sys.stdout.isatty() else 200)
stderr = Console(stderr=True)


def printable(text: str) -> str:
    """Escape control, bidirectional and undecodable characters, so that names cannot steer a terminal."""
    return "".join(
        c
        if c.isprintable() and not 0xD800 <= ord(c) <= 0xDFFF
        else c.encode("unicode_escape", "surrogatepass").decode()
        for c in text
    )


def escape_unprintable() -> None:
    """Let a character that the terminal's encoding lacks be escaped instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def note(text: str) -> None:
    """Print one line to stderr."""
    stderr.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def fail(text: str) -> None:
    """Print the one line of an error to stderr."""
    sys.stderr.write(f"error: {printable(text)}\n")
    sys.stderr.flush()


@contextmanager
def progress_bars(*, quiet: bool = False) -> Iterator[spec.Progress]:
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


_current: spec.Progress = spec.silent


def report_progress(stage: str, done: int, total: int | None) -> None:
    """Pass progress to the bars shown now, if any; steps hand this to the other rooms."""
    _current(stage, done, total)


@contextmanager
def busy(stage: str, *, shown: bool = True) -> Iterator[None]:
    """Show that a stage is under way which cannot say how far it is."""
    if shown:
        report_progress(stage, 0, None)
    yield
    if shown:
        report_progress(stage, 1, 1)


@contextmanager
def _chosen(quiet: bool) -> Iterator[spec.Progress]:
    if quiet:
        yield spec.silent
    elif not stderr.is_terminal:
        yield _Lines()
    else:
        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=stderr,
        ) as bars:
            yield _Bars(bars)


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.ids: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        if stage not in self.ids:
            self.ids[stage] = self.bars.add_task(printable(stage), total=total)
        self.bars.update(self.ids[stage], completed=done, total=total)


class _Lines:
    """For log files: a line when a stage has taken two seconds, and at each further tenth of it."""

    def __init__(self) -> None:
        self.begun: dict[str, float] = {}
        self.shown: dict[str, int] = {}
        self.lock = threading.Lock()

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        tenth = 10 * done // total if total else int(math.log2(done + 1))
        with self.lock:
            if stage not in self.begun and total is None:
                self.begun[stage] = time.monotonic()
                note(f"{stage} ...")
                return
            begun = self.begun.setdefault(stage, time.monotonic())
            if time.monotonic() - begun < QUIET_SECONDS or tenth <= self.shown.get(stage, -1):
                return
            self.shown[stage] = tenth
        if total != 1:
            note(f"{stage}: {done:,}{f' of {total:,}' if total else ''}")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table to stdout; the last column wraps, no other does."""
    shown = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(printable(str(cell)) for cell in row))
    stdout.print(shown)
