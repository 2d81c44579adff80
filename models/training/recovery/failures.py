"""What ends a training: a loss that is not finite, a batch that does not fit into memory."""

import contextlib
from collections.abc import Iterator, Sequence

import tensorflow as tf

from features.errors import DataError, StorageError


class TrainingDivergedError(DataError):
    """The loss became NaN or infinite."""


class OutOfMemoryError(StorageError):
    """A batch does not fit into memory."""


@contextlib.contextmanager
def enough_memory(phase: str, epoch: int, step: int, batch_size: int) -> Iterator[None]:
    """Say what to do where the body has too little memory; epoch and step are counted from 0 on."""
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        raise OutOfMemoryError(
            f"out of memory in phase {phase}, epoch {epoch + 1}, batch {step + 1}",
            got=f"batches of {batch_size}",
            expected="batches that fit into memory",
            todo=f"try --set training.batch_size={max(1, batch_size // 2)}, "
            "or --set training.auto_batch=true",
        ) from error


def diverged(what: str, names: Sequence[str], phase: str, epoch: int, step: int) -> TrainingDivergedError:
    """Return the error of a batch that spoilt a training.

    Args:
        what: was not finite.
        names: files of the batch.
        phase: of the training.
        epoch: counted from 0 on.
        step: counted from 0 on.
    """
    listing = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return TrainingDivergedError(
        f"training diverged in phase {phase}, epoch {epoch + 1}, batch {step + 1}",
        got=f"{what} on {listing}",
        expected="finite loss and weights",
        todo="lower training.learning_rate, set training.clip_norm, or look at these files",
    )
