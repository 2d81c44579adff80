"""Puts concurrent requests for one model together, as TensorFlow Serving's batching session does.

Follows batching/batching_session.cc and servables/tensorflow/bundle_factory_util.cc, with two differences
in favour of the caller: requests whose shapes differ form batches of their own instead of failing
together, and when a batch fails each of its requests is tried alone, so that a bad one spoils no other.

Batches are run by a few threads of their own, as there: what kernels keep from one call to the next (oneDNN's
primitives, scratch memory) belongs to a thread, and would be cold in whichever of many threads came.
"""

import itertools
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from serving.engine import deadline
from serving.engine.batching.batch import check_outputs, filled_size, merge, parts, rows_of
from serving.engine.batching.parameters import Parameters
from serving.engine.servable import Served
from serving.engine.workers import aside
from serving.errors import InvalidArgument, Unavailable


class _Task:
    """One request, or one part of a large one, on its way through a queue."""

    __slots__ = ("_ended", "arrays", "caller", "error", "outputs", "since", "size")

    def __init__(self, arrays: list[np.ndarray], size: int) -> None:
        self.arrays, self.size = arrays, size
        self.outputs: list[np.ndarray] | None = None
        self.error: Exception | None = None
        self.since = time.monotonic()
        self.caller = deadline.current()
        # A lock that is held until the end: a threading.Event costs four times as much.
        self._ended = threading.Lock()
        self._ended.acquire()

    def end(self) -> None:
        """Let the caller go on: outputs or error are there."""
        self._ended.release()

    def result(self) -> list[np.ndarray]:
        """Wait for the outputs.

        Raises:
            ServerError: the runtime's status.
        """
        aside(self._ended.acquire)
        if self.error is not None:
            raise self.error
        assert self.outputs is not None
        return self.outputs


def _is_waited_for(task: _Task) -> bool:
    """Return whether a task's caller still waits; end the task if not."""
    waits = task.caller.waits()
    if not waits:
        task.error = deadline.passed()
        task.end()
    return waits


class _Queue:
    """Tasks that can share a batch: same tensors, dtypes and, unless padded, shapes of a row.

    Args:
        room: rows up to which they are put together.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.tasks: deque[_Task] = deque()
        self.rows = 0

    @property
    def is_full(self) -> bool:
        """Whether its tasks fill a batch."""
        return self.rows >= self.room

    def take(self) -> list[_Task]:
        """Take out the tasks of one batch; a task larger than the room goes by itself."""
        room, taken = self.room, list[_Task]()
        while self.tasks and (not taken or self.tasks[0].size <= room):
            taken.append(self.tasks.popleft())
            room -= taken[-1].size
            self.rows -= taken[-1].size
        return taken


class Batcher:
    """A model version whose runs are batched.

    Args:
        servable: what runs the batches.
        parameters: how batches are formed.
    """

    def __init__(self, servable: Served, parameters: Parameters) -> None:
        self._servable, self._parameters = servable, parameters
        self.name, self.version, self.path = servable.name, servable.version, servable.path
        self.signatures: dict[str, meta_graph_pb2.SignatureDef] = servable.signatures
        self.plans = servable.plans
        self._timeout = parameters.batch_timeout
        # Of the queues and the threads; the condition tells that there is more to do.
        self._lock = threading.Lock()
        self._more = threading.Condition(self._lock)
        self._queues: dict[Any, _Queue] = {}
        self._threads: list[threading.Thread] = []
        # Runs of the model under way.
        self._busy = 0
        self._closed = False

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
        key = (tuple(feeds), tuple(fetches), tuple(map(self._kind, feeds, arrays)))
        tasks = [_Task(*part) for part in parts(arrays, size, self._parameters.execution_size)]
        self._enqueue(key, tasks, size)
        outputs = [task.result() for task in tasks]
        return (
            outputs[0]
            if len(outputs) == 1
            else [np.concatenate(pieces) for pieces in zip(*outputs, strict=True)]
        )

    def _kind(self, name: str, array: np.ndarray) -> Any:
        """Return what the inputs of this name have in common in a batch."""
        return (array.dtype, array.ndim if self._parameters.pad_variable_length_inputs else array.shape[1:])

    def _enqueue(self, key: Any, tasks: list[_Task], size: int) -> None:
        with self._lock:
            if not self._threads:
                self._start()
            queue = self._queues.get(key) or _Queue(self._room(key))
            full = self._parameters.max_enqueued_batches * self._parameters.max_batch_size
            if queue.rows + size > full:
                raise Unavailable("The batch scheduling queue to which this task was submitted is full")
            self._queues[key] = queue
            queue.tasks.extend(tasks)
            queue.rows += size
            if self._due(queue) is not None:
                self._more.notify(len(tasks))

    def _due(self, queue: _Queue) -> float | None:
        """Return the time from which a queue's first batch may run, or None if a run has to end first."""
        since = queue.tasks[0].since
        return since if queue.is_full else since + self._timeout

    def _room(self, key: Any) -> int:
        """Return the rows up to which requests are put together."""
        return self._parameters.room

    def _start(self) -> None:
        # Not before the first request: most versions of most models are never asked.
        for number in range(self._parameters.num_batch_threads):
            name = f"batch-{self.name}-{self.version}-{number}"
            self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
            self._threads[-1].start()

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            self._process(*batch)
            self._leave()

    def _leave(self) -> None:
        """Count a run of the model out."""
        with self._lock:
            self._busy -= 1
            if self._queues:
                self._more.notify()

    def _next(self) -> tuple[Any, list[_Task]] | None:
        """Wait for a batch that is due and take it; None when the version is closed."""
        with self._lock:
            while not self._closed:
                dues = {
                    key: due for key, queue in self._queues.items() if (due := self._due(queue)) is not None
                }
                key = min(dues, key=dues.__getitem__, default=None)
                wait = None if key is None else dues[key] - time.monotonic()
                if wait is None or wait > 0:
                    self._more.wait(wait)
                    continue
                return key, self._take(key)
        return None

    def _take(self, key: Any) -> list[_Task]:
        queue = self._queues[key]
        tasks = queue.take()
        self._busy += 1
        if not queue.tasks:
            del self._queues[key]
        if self._queues:
            # The word of what is left may have come to this thread.
            self._more.notify()
        return tasks

    def _process(self, key: Any, tasks: list[_Task]) -> None:
        tasks = list(filter(_is_waited_for, tasks))
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
                task.end()

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
        with deadline.waiting(deadline.joined(task.caller for task in tasks)):
            outputs = self._servable.run(dict(zip(feeds, merged, strict=True)), fetches)
        self._check(key, outputs, size + filler)
        bounds = list(itertools.accumulate((task.size for task in tasks), initial=0))
        for task, (start, end) in zip(tasks, itertools.pairwise(bounds), strict=True):
            task.outputs = [values[start:end] for values in outputs]

    def _check(self, key: Any, outputs: Sequence[np.ndarray], size: int) -> None:
        check_outputs(outputs, size)

    def close(self) -> None:
        """End the threads and free the servable; no run may be under way."""
        with self._lock:
            self._closed = True
            self._more.notify_all()
        for thread in self._threads:
            thread.join()
        self._servable.close()
