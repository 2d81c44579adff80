"""Bars of progress on a terminal, through rich."""

import datetime
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from features.names import printable


@contextmanager
def show(console: Console) -> Iterator["_Bars"]:
    """Show a bar for each stage that the yielded display is told of."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        _Count(),
        TimeElapsedColumn(),
        _Left(),
        TextColumn("{task.fields[reached]}"),
        console=console,
    ) as bars:
        yield _Bars(bars)


class _Count(ProgressColumn):
    """How many of how many; nothing where that is not known."""

    def render(self, task: Task) -> Text:
        return Text(f"{int(task.completed):,}/{int(task.total):,}" if task.total else "")


class _Left(ProgressColumn):
    """How long a stage will take yet, once it is known."""

    def render(self, task: Task) -> Text:
        left = task.time_remaining
        return Text(f"{datetime.timedelta(seconds=int(left))} left" if left and not task.finished else "")


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.ids: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        if stage not in self.ids:
            self.ids[stage] = self.bars.add_task(printable(stage), total=total, reached="")
        self.bars.update(self.ids[stage], completed=done, total=total)

    def describe(self, stage: str, text: str) -> None:
        if stage in self.ids:
            self.bars.update(self.ids[stage], reached=printable(text))

    def mark(self, stage: str, text: str) -> None:
        if stage not in self.ids:
            self(stage, 0, None)
        self.bars.update(self.ids[stage], description=printable(f"{stage}, {text}"))
