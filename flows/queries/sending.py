"""Send many examples to a model: read ahead, joined into batches, several of them under way.

Memory is bounded: so many examples are read ahead, a batch has so many rows and bytes, and so many batches
are under way. A batch that is refused is sent again in halves, so that an example that the model cannot take
fails alone.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from features.errors import DataError, ServableError
from flows.queries import refusals
from flows.queries.requests import Arrays, Request
from serving.client.answers import DEFAULT_SIGNATURE, Answer, Metadata, Signature
from serving.client.predictor import Predictor
from serving.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    OutOfRange,
    ResourceExhausted,
    ServerError,
    Unknown,
)

#: Examples read at a time, requests under way at a time.
READERS, SENDERS = 8, 4
#: Rows of the first batch, and at most; bytes of a batch at most, unless one row has more.
FIRST_ROWS, MOST_ROWS, MOST_BYTES = 4, 64, 4 << 20
#: Batches of one size that are timed, and how much faster twice the rows must be to stay so.
TRIALS, GAIN = 4, 1.1
#: A batch that took longer is too large; seconds.
LONG = 5.0

#: What may be the fault of one example alone; any other error ends the whole.
_OF_ONE = (
    DataError,
    InvalidArgument,
    OutOfRange,
    FailedPrecondition,
    ResourceExhausted,
    DeadlineExceeded,
    Internal,
    Unknown,
)

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Outcome:
    """What became of one example: an answer, or why there is none."""

    shown: str
    answer: Answer | None = None
    error: ServableError | None = None


@dataclass(frozen=True)
class _Read:
    """An example that was read, or could not be."""

    request: Request
    inputs: Arrays | None = None
    error: ServableError | None = None

    @property
    def size(self) -> int:
        return sum(map(_size, (self.inputs or {}).values()))


def _size(array: np.ndarray) -> int:
    return sum(map(len, array.ravel())) if array.dtype == object else array.nbytes


class Pace:
    """How many rows a batch has: twice as many, as long as that answers more rows a second.

    A model whose rows cost much gains nothing from large batches, which only take memory; where the request
    itself is the cost, they are many times as fast.

    Attributes:
        rows: of the next batch.
    """

    def __init__(self) -> None:
        self.rows, self._most = FIRST_ROWS, MOST_ROWS
        self._lock = threading.Lock()
        self._seconds: list[float] = []
        self._rate = 0.0
        self._grows = True

    def follow(self, rows: int, seconds: float) -> None:
        """Take note of how long a batch took."""
        with self._lock:
            if seconds > LONG and 1 < rows <= self.rows:
                self.rows, self._grows = rows // 2, False
            elif self._grows and rows == self.rows:
                self._seconds.append(seconds)
                if len(self._seconds) == TRIALS:
                    self._step(TRIALS * rows / max(sum(self._seconds), 1e-9))

    def _step(self, rate: float) -> None:
        """Go on to larger batches, or back to the ones before, which were as fast."""
        self._seconds = []
        pays = rate > GAIN * self._rate
        self._grows = pays and self.rows < self._most
        if not pays:
            self.rows //= 2
        self._rate = rate
        if self._grows:
            self.rows = min(2 * self.rows, self._most)

    def limit(self, rows: int) -> None:
        """Take note that the model takes batches of so many rows and no larger ones."""
        with self._lock:
            self._most = min(self._most, rows)
            self.rows = min(self.rows, self._most)


class Sending:
    """Sends the requests of one question.

    Args:
        client: what answers.
        name: the model.
        version: None for the server's choice.
        described: the model's signatures.
    """

    def __init__(self, client: Predictor, name: str, version: int | None, described: Metadata) -> None:
        self._client, self._name, self._version, self._described = client, name, version, described
        self._pace = Pace()

    def outcomes(self, requests: Iterable[Request]) -> Iterator[Outcome]:
        """Send requests and yield what became of each, in their order.

        Raises:
            UnavailableError, ServerError: no answer is to be had, whatever the example.
        """
        with _threads(READERS) as readers, _threads(SENDERS) as senders:
            read = _ahead(readers, _read, requests, 2 * READERS)
            for outcomes in _ahead(senders, self._send, self._batches(read), SENDERS):
                yield from outcomes

    def _batches(self, examples: Iterable[_Read]) -> Iterator[list[_Read]]:
        batch: list[_Read] = []
        size = 0
        for one in examples:
            if batch and not (
                one.request.signature == batch[0].request.signature
                and len(batch) < self._most(one.request.signature)
                and size + one.size <= MOST_BYTES
            ):
                yield batch
                batch, size = [], 0
            batch.append(one)
            size += one.size
        if batch:
            yield batch

    def _most(self, signature: str | None) -> int:
        spec = self._described.signatures.get(signature or DEFAULT_SIGNATURE)
        return self._pace.rows if spec is not None and is_by_row(spec) else 1

    def _send(self, batch: list[_Read]) -> list[Outcome]:
        answered = iter(self._answered([one for one in batch if one.inputs is not None]))
        return [
            next(answered) if one.error is None else Outcome(one.request.shown, error=one.error)
            for one in batch
        ]

    def _answered(self, batch: list[_Read]) -> list[Outcome]:
        if not batch:
            return []
        begun = time.monotonic()
        try:
            answers = self._predicted(batch)
        except _OF_ONE as error:
            if len(batch) == 1:
                return [
                    Outcome(batch[0].request.shown, error=refusals.of_input(error, batch[0].request.shown))
                ]
            half = len(batch) // 2
            outcomes = self._answered(batch[:half]) + self._answered(batch[half:])
            if all(one.error is None for one in outcomes):
                self._pace.limit(half)
            return outcomes
        except ServerError as error:
            raise refusals.cleaned(error, self._client) from error
        self._pace.follow(len(batch), time.monotonic() - begun)
        return [Outcome(one.request.shown, answer) for one, answer in zip(batch, answers, strict=True)]

    def _predicted(self, batch: list[_Read]) -> list[Answer]:
        """Return the answer to each row of a batch."""
        inputs = [one.inputs or {} for one in batch]
        joined = {name: np.concatenate([row[name] for row in inputs]) for name in inputs[0]}
        signature = batch[0].request.signature
        answer = self._client.predict(self._name, joined, signature=signature, version=self._version)
        if len(batch) == 1:
            return [answer]
        if any(not value.ndim or len(value) != len(batch) for value in answer.values()):
            raise Internal("the model does not answer row by row", model=self._name)
        return [_row(answer, place) for place in range(len(batch))]


def is_by_row(signature: Signature) -> bool:
    """Return whether a row's answer does not depend on the rows beside it.

    An output of unknown size beside its rows may be padded to the longest of a batch. Objects are counted,
    and there are as many neighbours as the further inputs say, which are the same for each row.
    """
    sized = {name for output, names in _SIZED.items() if output in signature.outputs for name in names}
    shapes = [spec.shape for name, spec in signature.outputs.items() if name not in sized]
    return all(shape and shape[0] is None and None not in shape[1:] for shape in shapes)


#: An output that shows what an answer is, to outputs whose size is known then.
_SIZED = {
    "count": ("boxes", "classes", "labels", "scores"),
    "ids": ("ids", "paths", "scores"),
    "similarities": ("words", "similarities"),
}


def _row(answer: Answer, place: int) -> Answer:
    rows = {name: value[place : place + 1] for name, value in answer.items()}
    return Answer(rows, answer.model, answer.version, answer.signature)


def _read(request: Request) -> _Read:
    try:
        return _Read(request, request.read())
    except ServableError as error:
        return _Read(request, error=error)


class _threads(ThreadPoolExecutor):  # noqa: N801 - used as a function
    """Threads whose waiting work is dropped when what they work for ends early."""

    def __exit__(self, *ended: object) -> None:
        self.shutdown(wait=True, cancel_futures=True)


def _ahead(
    threads: ThreadPoolExecutor, work: Callable[[_Given], _Made], items: Iterable[_Given], most: int
) -> Iterator[_Made]:
    """Work on so many things at a time, and yield what becomes of them in their order."""
    waiting: deque[Future[_Made]] = deque()
    for one in items:
        waiting.append(threads.submit(work, one))
        if len(waiting) >= most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
