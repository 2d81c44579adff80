"""Batches that need no settings: requests that arrive while the model is busy share its next run.

A request that finds the model idle runs at once, in the thread that it came in, as it would without batching.
The others wait for a run to end, and what waits then is one batch. There is no timer.
"""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow.core.framework import tensor_shape_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.config import THREADS
from serving.engine import deadline
from serving.engine.batching.batcher import Batcher, _Task
from serving.engine.batching.parameters import JOINED_ROWS, Parameters
from serving.engine.servable import Served
from serving.engine.workers import aside

#: Rows that a request may have and that may wait: the limits of the doors are enough.
UNLIMITED = 2**31

#: Rows joined where the model is quick, and the seconds that a run of them may take. A run that is over so
#: soon cannot need much memory either.
QUICK_ROWS, QUICK_SECONDS = 32, 0.01

#: The input that says how many items each row of an answer lists: the largest decides the width of all rows.
COUNT = "k"

_Key = tuple[tuple[str, ...], tuple[str, ...]]


class Joiner(Batcher):
    """A model version whose concurrent requests share runs, where that changes no answer.

    Requests are joined if every input has a batch axis, and every output has one and is of a fixed size
    beyond it: if the longest row decided the width of the answers, the others would get its padding. Where a
    count decides the width (an input ``k``), requests of the same count are joined. Everything else runs
    alone, as without batching.

    Args:
        servable: what runs the batches.
        slots: runs of the model at a time.
        alone: runs at a time of requests that cannot be joined.
    """

    def __init__(
        self, servable: Served, slots: int = Parameters.num_batch_threads, alone: int = THREADS
    ) -> None:
        super().__init__(servable, Parameters(max_batch_size=UNLIMITED, num_batch_threads=slots))
        signatures = servable.signatures.values()
        self._inputs, self._outputs = _shapes(signatures)
        self._counts = {found.inputs[COUNT].name for found in signatures if COUNT in found.inputs}
        self._alone = threading.Semaphore(alone)
        self._joinable: dict[_Key, bool] = {}
        self._seconds_per_row: dict[Any, float] = {}

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
        """Run the graph on these values, alone or together with requests that wait.

        Args:
            feeds: values by tensor name.
            fetches: tensor names.

        Raises:
            ServerError: the runtime's status.
        """
        if not self._can_join(feeds, fetches):
            return self._run_unjoined(feeds, fetches)
        if not self._enter():
            return super().run(feeds, fetches)
        try:
            return self._servable.run(feeds, fetches)
        finally:
            self._leave()

    def _run_unjoined(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
        # More threads than without batching are there to wait for a batch: not all of them may run the model.
        if not self._alone.acquire(blocking=False):
            aside(self._alone.acquire)
        try:
            return self._servable.run(feeds, fetches)
        finally:
            self._alone.release()

    def _enter(self) -> bool:
        """Begin a run, if none is under way and nobody waits for one."""
        with self._lock:
            enters = not self._busy and not self._queues
            self._busy += enters
        return enters

    def _due(self, queue: Any) -> float | None:
        # Beside another run only a full batch pays: a cheap model would be run for one request each.
        begins = not self._busy or (queue.is_full and self._busy < self._parameters.num_batch_threads)
        return queue.tasks[0].since if begins else None

    def _room(self, key: Any) -> int:
        seconds = self._seconds_per_row.get(key[:2], QUICK_SECONDS)
        return int(min(max(QUICK_SECONDS / seconds, JOINED_ROWS), QUICK_ROWS))

    def _can_join(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> bool:
        key = (tuple(feeds), tuple(fetches))
        if key not in self._joinable:
            self._joinable[key] = self._has_rows(*key)
        return self._joinable[key] and _rows(feeds.values()) > 0

    def _has_rows(self, feeds: Sequence[str], fetches: Sequence[str]) -> bool:
        inputs = [_sizes(self._inputs.get(name)) for name in feeds]
        outputs = [_sizes(self._outputs.get(name)) for name in fetches]
        fixed = not self._counts.isdisjoint(feeds) or all(-1 not in sizes[1:] for sizes in outputs)
        return fixed and all(sizes[:1] == [-1] for sizes in inputs + outputs)

    def _kind(self, name: str, array: np.ndarray) -> Any:
        count = array.max() if name in self._counts and array.dtype.kind in "iu" else None
        return super()._kind(name, array), count

    def _run_together(self, key: Any, tasks: list[_Task]) -> None:
        if len(tasks) > 1:
            began = time.perf_counter()
            super()._run_together(key, tasks)
            self._seconds_per_row[key[:2]] = (time.perf_counter() - began) / sum(task.size for task in tasks)
        else:
            feeds, fetches, _ = key
            with deadline.waiting(tasks[0].caller):
                tasks[0].outputs = self._servable.run(dict(zip(feeds, tasks[0].arrays, strict=True)), fetches)

    def _check(self, key: Any, outputs: Sequence[np.ndarray], size: int) -> None:
        # The first axis of an output may be another than that of the rows: each request then runs alone.
        if any(len(values) != size for values in outputs):
            self._joinable[key[:2]] = False
        super()._check(key, outputs, size)


_Shapes = dict[str, tensor_shape_pb2.TensorShapeProto]


def _shapes(signatures: Iterable[meta_graph_pb2.SignatureDef]) -> tuple[_Shapes, _Shapes]:
    """Return the shapes that signatures declare for their inputs, and for their outputs, by tensor name."""
    inputs: _Shapes = {}
    outputs: _Shapes = {}
    for signature in signatures:
        inputs |= {info.name: info.tensor_shape for info in signature.inputs.values()}
        outputs |= {info.name: info.tensor_shape for info in signature.outputs.values()}
    return inputs, outputs


def _sizes(shape: tensor_shape_pb2.TensorShapeProto | None) -> list[int]:
    """Return the sizes of a shape, -1 for any; none if it is a number's or not known."""
    return [] if shape is None or shape.unknown_rank else [axis.size for axis in shape.dim]


def _rows(values: Iterable[np.ndarray]) -> int:
    """Return the number of rows that all values have, or 0 if they differ or one has none."""
    sizes = {len(value) if np.ndim(value) else 0 for value in values}
    return sizes.pop() if len(sizes) == 1 else 0
