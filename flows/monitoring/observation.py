"""Describe examples and what a model answers to them, in batches, keeping none of their contents."""

import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import pandas as pd

from features.sources.tables import cells as table_cells
from features.spec import Progress, RawKind
from flows.queries.requests import Arrays, Request
from flows.queries.sending import Outcome, Sending
from models.monitoring import answers
from models.monitoring.measures import Describe, Measures

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Observed:
    """What was seen of a sample.

    Attributes:
        table: one row an example that was answered; a column for each measure of inputs and answers.
        requests: of the same examples, which read them again.
        refused: what became of the others.
    """

    table: pd.DataFrame
    requests: Sequence[Request]
    refused: Sequence[Outcome]

    @property
    def samples(self) -> dict[str, pd.Series]:
        """The sample of each measure by its name."""
        return {str(name): self.table[name] for name in self.table}


@dataclass(frozen=True)
class Observer:
    """Observes the examples of one model.

    Attributes:
        raw: what an example is.
        columns: of rows, in the order of their cells; empty for other kinds.
        describe: the measures of an example.
        sending: the model that answers.
    """

    raw: RawKind
    columns: Sequence[str]
    describe: Describe
    sending: Sending

    def observe(self, requests: Sequence[Request], stage: str, progress: Progress) -> Observed:
        """Describe each example and its answer.

        Args:
            requests: one an example.
            stage: as progress is told.
            progress: told how many are done.
        """
        inputs: list[Measures] = [{} for _ in requests]
        watched = (self._watched(request, inputs[place]) for place, request in enumerate(requests))
        rows, answered, refused = [], [], []
        for place, outcome in enumerate(self.sending.outcomes(watched)):
            if outcome.answer is None:
                refused.append(outcome)
            else:
                rows.append(inputs[place] | answers.describe(outcome.answer))
                answered.append(requests[place])
            progress(stage, place + 1, len(requests))
        return Observed(table(rows), answered, refused)

    def _watched(self, request: Request, measures: Measures) -> Request:
        """Let a request describe its example as it is read, in the thread that reads it."""

        def read() -> Arrays:
            arrays = request.read()
            measures.update(self.describe(self.content(arrays)))
            return arrays

        return replace(request, read=read)

    def content(self, arrays: Arrays) -> bytes:
        """Return the raw example of a request: of one by columns, its cells as a line of CSV."""
        if self.raw.input in arrays:
            return bytes(arrays[self.raw.input][0])
        names = table_cells.identifiers(self.columns)
        return table_cells.line([_cell(arrays[name].ravel()[0]) for name in names]).encode()


def _cell(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value != value else str(value)  # NaN is a number that is missing


def table(rows: Sequence[Measures]) -> pd.DataFrame:
    """Make a table of measures; one that some examples lack, as texts lack scripts, is 0 of these."""
    frame = pd.DataFrame(list(rows))
    seen = [set(row) for row in rows]
    for name in frame:
        if not all(name in row for row in seen) and pd.api.types.is_numeric_dtype(frame[name]):
            frame.loc[[name not in row for row in seen], name] = 0.0
    return frame


def sampled(items: Iterable[_Item], most: int) -> tuple[list[_Item], int]:
    """Choose at most so many items at random, the same each time; return them in order, and how many came."""
    chosen: list[tuple[int, _Item]] = []
    numbers = random.Random(0)  # noqa: S311 - a sample
    count = 0
    for count, item in enumerate(items, start=1):
        if len(chosen) < most:
            chosen.append((count, item))
        elif (place := numbers.randrange(count)) < most:
            chosen[place] = (count, item)
    return [item for _, item in sorted(chosen, key=lambda pair: pair[0])], count


def latest(items: Iterable[_Item], most: int) -> tuple[list[_Item], int]:
    """Choose at most so many items from the end; return them in order, and how many came."""
    kept, count = deque[_Item](maxlen=most), 0
    for item in items:
        kept.append(item)
        count += 1
    return list(kept), count
