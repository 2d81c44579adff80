"""The processes that train one network together, each on its share of every batch.

The variables of Keras 3 are not those of a `tf.distribute` strategy, and its ``fit`` knows
MultiWorkerMirroredStrategy in part. So of that strategy its cluster and its all-reduce are used, around the
training step of this folder: every process holds all variables, begins with the chief's, and moves them by
the same sums of gradients.
"""

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from features.errors import ConfigError, UnavailableError
from models.training.cluster import Place, place
from models.training.recovery.checkpoint import arrays_of, assign_arrays


@dataclass(frozen=True)
class Workers:
    """The processes of one training, seen from one of them.

    Attributes:
        place: of this process.
        strategy: tf.distribute's; None where this process trains alone.
    """

    place: Place = field(default_factory=Place)
    strategy: Any = None

    def summed(self, values: Any) -> Any:
        """Add up tensors, in any structure, over all processes; called in a graph."""

        def local(values: Any) -> Any:
            flat = tf.nest.flatten(values)
            for kind in dict.fromkeys(value.dtype for value in flat):
                # The strategy sends what it is given as one array, so of one type.
                chosen = [number for number, value in enumerate(flat) if value.dtype == kind]
                # A copy has a device, by which the strategy decides where to add.
                copies = [tf.identity(flat[number]) for number in chosen]
                added = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, copies)
                for number, value in zip(chosen, added, strict=True):
                    flat[number] = value
            return tf.nest.pack_sequence_as(values, flat)

        return self.strategy.run(local, (values,))

    def agreed(self, make: Callable[[], Any]) -> Any:
        """Return what a function of the chief makes, which JSON can hold, in all processes."""
        if self.strategy is None:
            return make()
        return json.loads(self._broadcast(json.dumps(make()).encode() if self.place.chief else b""))

    def align(self, variables: Any) -> None:
        """Assign the chief's values to variables."""
        if self.strategy is not None:
            content = self._broadcast(arrays_of(variables) if self.place.chief else b"")
            if not self.place.chief:
                assign_arrays(content, variables)

    def leave(self) -> None:
        """Watch the others no longer: they may end before this process does."""
        stop = getattr(getattr(self.strategy, "extended", None), "_check_health_thread_should_stop", None)
        if stop is not None:
            stop.set()

    def _broadcast(self, content: bytes) -> bytes:
        """Return the chief's bytes, which travel as whole numbers: those of the others are 0."""
        with self.together():
            length = int(self._sum(np.array([len(content)], np.int32))[0])
            words = np.frombuffer(content.ljust(length + -length % 4, b"\0"), np.int32)
            return self._sum(words).tobytes()[:length]

    def _sum(self, words: np.ndarray) -> np.ndarray:
        total: np.ndarray = _adder(self)(tf.constant(words)).numpy()
        return total

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Say in a sentence that another process has ended, if that is why the body fails."""
        try:
            yield
        except tf.errors.ResourceExhaustedError:
            raise
        except tf.errors.OpError as error:
            if self.strategy is None:
                raise
            raise UnavailableError(
                "another process of this training has ended, or cannot be reached",
                got=f"{type(error).__name__} of tf.distribute",
                todo="look at its output; then start all of them again, and the training goes on",
            ) from error


#: A process that trains alone.
ALONE = Workers()


@functools.cache
def _adder(workers: Workers) -> Any:
    return tf.function(workers.summed, input_signature=[tf.TensorSpec([None], tf.int32)], autograph=False)


def of(settings: Any) -> Workers:
    """Return the processes that train by these settings; joins them the first time.

    Must be called before TensorFlow computes anything in this process.

    Args:
        settings: the recipe's training section; one of no network knows no workers.

    Raises:
        ConfigError: TF_CONFIG cannot be used, or it is too late.
    """
    return _joined() if getattr(settings, "distribution", "none") == "multi_worker" else ALONE


@functools.cache
def _joined() -> Workers:
    own = place()
    if own.count == 1:
        return ALONE
    # Several devices of one process would need variables that are mirrored.
    if len(devices := tf.config.list_physical_devices("GPU")) > 1:
        tf.config.set_visible_devices(devices[0], "GPU")
    try:
        return Workers(own, tf.distribute.MultiWorkerMirroredStrategy())
    except RuntimeError as error:
        raise ConfigError(
            "training.distribution=multi_worker needs a process of its own",
            got=str(error)[:200],
            todo="start servable train, in which TensorFlow has not computed anything yet",
        ) from error
