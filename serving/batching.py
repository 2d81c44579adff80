"""Puts concurrent requests for one model together, as TensorFlow Serving's batching session does.

Follows batching/batching_session.cc and servables/tensorflow/bundle_factory_util.cc, with two differences
in favour of the caller: requests whose shapes differ form batches of their own instead of failing
together, and when a batch fails each of its requests is tried alone, so that a bad one spoils no other.

There are no batch threads: a request that finds a free slot runs what is waiting, its own part included,
and hands its slot to the first request that waits. A lone caller thus pays for no switch of threads.
"""

import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from serving import text_configs
from serving.errors import FailedPrecondition, InvalidArgument, Unavailable
from serving.servable import Servable

#: A version's own parameters, in its directory.
OWN_PARAMETERS = "batching_params.pbtxt"

#: Rows put together where nobody says how many. On a CPU a batch of four has nearly all there is to gain
#: (docs/serving.md has the figures), while memory and waiting grow with the batch.
JOINED_ROWS = 4


@dataclass(frozen=True)
class Parameters:
    """How batches are formed.

    Attributes:
        max_batch_size: largest batch in rows, and largest request.
        batch_timeout: seconds the oldest request waits for others while a slot is free.
        max_enqueued_batches: full batches that may wait before requests are refused.
        num_batch_threads: batches of a model version that run at a time.
        allowed_batch_sizes: sizes that batches are filled up to, ascending; empty means any.
        pad_variable_length_inputs: pad inputs that differ beyond the batch axis.
        max_execution_batch_size: rows into which larger requests are cut, or None to run them whole.
        joined_rows: rows up to which requests are put together, or None for as many as a batch can have.
    """

    max_batch_size: int = 1000
    batch_timeout: float = 0.0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    max_execution_batch_size: int | None = None
    joined_rows: int | None = None

    def __post_init__(self) -> None:
        sizes = self.allowed_batch_sizes
        if sizes and sizes[-1] != self.max_batch_size:
            raise InvalidArgument(
                "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
                f"{sizes[-1]}; expected {self.max_batch_size}"
            )
        if list(sizes) != sorted(set(sizes)) or any(size <= 0 for size in sizes):
            raise InvalidArgument("allowed_batch_sizes entries must be monotonically increasing")
        if min(self.max_batch_size, self.max_enqueued_batches, self.num_batch_threads) <= 0:
            raise InvalidArgument(
                "max_batch_size, max_enqueued_batches and num_batch_threads must be positive"
            )

    @classmethod
    def read(cls, path: Path) -> "Parameters":
        """Read a BatchingParameters file in protobuf text format.

        Raises:
            InvalidArgument: it cannot be read, or its values contradict each other.
        """
        found = text_configs.batching_parameters(path)
        given: dict[str, Any] = {
            name: getattr(found, name).value
            for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads")
            if found.HasField(name)
        }
        if found.HasField("batch_timeout_micros"):
            given["batch_timeout"] = found.batch_timeout_micros.value / 1e6
        if found.enable_large_batch_splitting.value:
            size = found.max_execution_batch_size.value or found.max_batch_size.value
            given["max_execution_batch_size"] = size or cls.max_batch_size
        if "max_batch_size" not in given:
            given["joined_rows"] = JOINED_ROWS
        return cls(
            allowed_batch_sizes=tuple(found.allowed_batch_sizes),
            pad_variable_length_inputs=found.pad_variable_length_inputs,
            **given,
        )

    @property
    def execution_size(self) -> int:
        """Rows that one run of the model takes at most."""
        return min(self.max_execution_batch_size or self.max_batch_size, self.max_batch_size)

    @property
    def room(self) -> int:
        """Rows up to which requests are put together; a larger one runs by itself."""
        return min(self.joined_rows or self.execution_size, self.execution_size)


class _Task:
    """One request, or one part of a large one, on its way through a queue."""

    __slots__ = ("arrays", "error", "event", "leads", "outputs", "since", "size")

    def __init__(self, arrays: list[np.ndarray], size: int) -> None:
        self.arrays, self.size = arrays, size
        self.outputs: list[np.ndarray] | None = None
        self.error: Exception | None = None
        self.event = threading.Event()
        self.leads = False
        self.since = time.monotonic()


class _Queue:
    """Tasks that can share a batch: same tensors, dtypes and, unless padded, shapes of a row."""

    def __init__(self) -> None:
        self.tasks: deque[_Task] = deque()
        self.rows = 0


class Batcher:
    """A Servable whose runs are batched; it stands where a Servable stands.

    Args:
        servable: what runs the batches.
        parameters: how batches are formed.
    """

    def __init__(self, servable: Servable, parameters: Parameters) -> None:
        self._servable, self._parameters = servable, parameters
        self.name, self.version, self.path = servable.name, servable.version, servable.path
        self.signatures: dict[str, meta_graph_pb2.SignatureDef] = servable.signatures
        self.plans = servable.plans
        self._lock = threading.Lock()
        self._more = threading.Condition(self._lock)
        self._queues: dict[Any, _Queue] = {}
        self._running = 0

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
        """Run the graph on these values, together with other requests that wait.

        Args:
            feeds: values by tensor name, all with the same number of rows.
            fetches: tensor names.

        Raises:
            InvalidArgument: no batch axis, unequal numbers of rows, or too many rows.
            FailedPrecondition: an output has another number of rows than the inputs.
            Unavailable: too many requests wait.
            ServerError: the runtime's status.
        """
        size = rows_of(feeds)
        if size == 0:
            return self._servable.run(feeds, fetches)
        limit = self._parameters.max_batch_size
        if size > limit:
            raise InvalidArgument(f"Task size {size} is larger than maximum input batch size {limit}")
        arrays = [np.asarray(value) for value in feeds.values()]
        key = (tuple(feeds), tuple(fetches), tuple(map(self._kind, arrays)))
        tasks = [_Task(*part) for part in parts(arrays, size, self._parameters.execution_size)]
        self._enqueue(key, tasks, size)
        outputs = [self._result(key, task) for task in tasks]
        return (
            outputs[0]
            if len(outputs) == 1
            else [np.concatenate(found) for found in zip(*outputs, strict=True)]
        )

    def _kind(self, array: np.ndarray) -> Any:
        return (array.dtype, array.ndim if self._parameters.pad_variable_length_inputs else array.shape[1:])

    def _enqueue(self, key: Any, tasks: list[_Task], size: int) -> None:
        with self._lock:
            queue = self._queues.setdefault(key, _Queue())
            full = self._parameters.max_enqueued_batches * self._parameters.max_batch_size
            if queue.rows + size > full:
                raise Unavailable("The batch scheduling queue to which this task was submitted is full")
            queue.tasks.extend(tasks)
            queue.rows += size
            if self._running < self._parameters.num_batch_threads:
                self._running += 1
                tasks[0].leads = True
                tasks[0].event.set()
            self._more.notify_all()

    def _result(self, key: Any, task: _Task) -> list[np.ndarray]:
        while True:
            task.event.wait()
            if not task.leads:
                break
            if task.outputs is not None or task.error is not None:
                # Another leader has answered this one meanwhile.
                self._hand_over()
                break
            task.leads = False
            task.event.clear()
            self._lead(key)
        if task.error is not None:
            raise task.error
        assert task.outputs is not None
        return task.outputs

    def _lead(self, key: Any) -> None:
        try:
            self._process(key, self._take(key))
        finally:
            self._hand_over()

    def _take(self, key: Any) -> list[_Task]:
        room = self._parameters.room
        with self._lock:
            queue = self._queues.get(key)
            if queue is None:
                return []
            if queue.tasks:
                deadline = queue.tasks[0].since + self._parameters.batch_timeout
                while queue.tasks and queue.rows < room and (left := deadline - time.monotonic()) > 0:
                    self._more.wait(left)
            taken: list[_Task] = []
            while queue.tasks and (not taken or queue.tasks[0].size <= room):
                taken.append(queue.tasks.popleft())
                room -= taken[-1].size
                queue.rows -= taken[-1].size
            if not queue.tasks and self._queues.get(key) is queue:
                del self._queues[key]
        return taken

    def _hand_over(self) -> None:
        with self._lock:
            waiting = [queue.tasks[0] for queue in self._queues.values() if queue.tasks]
            waiting = [task for task in waiting if not task.leads]
            if not waiting:
                self._running -= 1
                return
            oldest = min(waiting, key=lambda task: task.since)
            oldest.leads = True
            oldest.event.set()

    def _process(self, key: Any, tasks: list[_Task]) -> None:
        if not tasks:
            return
        try:
            self._run_together(key, tasks)
        except Exception as error:
            if len(tasks) == 1:
                tasks[0].error = error
            else:
                self._run_alone(key, tasks)
        finally:
            for task in tasks:
                task.event.set()

    def _run_alone(self, key: Any, tasks: list[_Task]) -> None:
        for task in tasks:
            try:
                self._run_together(key, [task])
            except Exception as error:
                task.error = error

    def _run_together(self, key: Any, tasks: list[_Task]) -> None:
        feeds, fetches, _ = key
        size = sum(task.size for task in tasks)
        filler = filled_size(size, self._parameters.allowed_batch_sizes) - size
        columns = list(zip(*(task.arrays for task in tasks), strict=True))
        merged = [
            merge(column, filler, pad=self._parameters.pad_variable_length_inputs) for column in columns
        ]
        found = self._servable.run(dict(zip(feeds, merged, strict=True)), fetches)
        check_outputs(found, size + filler)
        bounds = list(itertools.accumulate((task.size for task in tasks), initial=0))
        for task, (start, end) in zip(tasks, itertools.pairwise(bounds), strict=True):
            task.outputs = [values[start:end] for values in found]

    def close(self) -> None:
        """Free the servable; no run may be under way."""
        self._servable.close()


def rows_of(feeds: Mapping[str, np.ndarray]) -> int:
    """Give the number of rows that all inputs have.

    Raises:
        InvalidArgument: there is no input, one has no axis, or the numbers differ.
    """
    sizes = set()
    for value in feeds.values():
        if not np.ndim(value):
            raise InvalidArgument("Batching Run() input tensors must have at least one dimension")
        sizes.add(len(value))
    if not sizes:
        raise InvalidArgument("Batching Run() must have at least one input tensor")
    if len(sizes) > 1:
        raise InvalidArgument("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()


def parts(arrays: list[np.ndarray], size: int, limit: int) -> list[tuple[list[np.ndarray], int]]:
    """Cut arrays into parts of at most ``limit`` rows."""
    starts = range(0, size, limit)
    return [([array[at : at + limit] for array in arrays], min(limit, size - at)) for at in starts]


def filled_size(size: int, allowed: Sequence[int]) -> int:
    """Give the least allowed size that holds a batch, or its own where none does."""
    return next((bound for bound in allowed if bound >= size), size)


def merge(column: Sequence[np.ndarray], filler: int, *, pad: bool) -> np.ndarray:
    """Join one input of many requests, with copies of a row at the end that fill the batch up.

    Args:
        column: the input of each request.
        filler: rows to add.
        pad: pad each to the largest size of each axis, with its own first value.
    """
    if len(column) == 1 and not filler:
        return column[0]
    if pad and len({array.shape[1:] for array in column}) > 1:
        column = padded(column)
    rows = list(column)
    if filler:
        rows.append(np.repeat(rows[-1][:1], filler, axis=0))
    return np.concatenate(rows)


def padded(column: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Pad arrays beyond the batch axis to one shape, each with its own first value.

    Raises:
        InvalidArgument: one has no values to pad with.
    """
    shape = tuple(max(sizes) for sizes in zip(*(array.shape[1:] for array in column), strict=True))
    found = []
    for array in column:
        if array.size == 0:
            raise InvalidArgument("Got empty tensor in batch of non-empty tensors.")
        whole = np.full((len(array), *shape), array.flat[0], array.dtype)
        whole[tuple(slice(size) for size in array.shape)] = array
        found.append(whole)
    return found


def check_outputs(found: Sequence[np.ndarray], size: int) -> None:
    """Make sure that every output has the batch's number of rows.

    Raises:
        FailedPrecondition: one has not.
    """
    for values in found:
        if not values.ndim:
            raise FailedPrecondition("Batched output tensor has 0 dimensions")
        if len(values) != size:
            raise FailedPrecondition(
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes "
                "of the input tensors"
            )


def parameters_for(path: Path, common: Parameters, *, own: bool) -> Parameters | None:
    """Give the parameters of a version, or None where it is not batched.

    Args:
        path: the version directory.
        common: the server's parameters.
        own: take the version's own file, and batch only versions that have one.

    Raises:
        InvalidArgument: its file cannot be read.
    """
    if not own:
        return common
    file = path / OWN_PARAMETERS
    return Parameters.read(file) if file.is_file() else None
