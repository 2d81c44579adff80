"""The examples a phase is trained on: cached inputs, targets, and the files they came from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from features.datasets import feature_store
from features.datasets.dataset import Dataset
from features.errors import DataError
from features.targets.target import Target
from models.network import Phase


@dataclass(frozen=True)
class Examples:
    """Cached inputs of one split with their targets, the files they came from, and groups of like targets."""

    rows: Any
    targets: Any
    names: Sequence[str]
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def lengths(self) -> np.ndarray | None:
        """How long inputs and targets are together, of those that vary; None where all are alike."""
        varying = [getattr(part, "lengths", None) for part in (self.rows, self.targets)]
        arrays = [lengths for lengths in varying if lengths is not None]
        return np.sum(arrays, axis=0) if arrays else None


def gather(
    dataset: Dataset,
    target: Target,
    cache: feature_store.FeatureStore,
    split: str,
    place: Callable[[Any, Any], Any] | None = None,
) -> Examples:
    """Take a split's rows out of the cache, in the order of the dataset's frame.

    ``place`` brings targets to the coordinates of the features; see `models.network.Phase`.

    Raises:
        DataError: features are missing or damaged.
    """
    frame = dataset.frame[dataset.frame["split"] == split]
    encoded = target.encode(frame)
    if place is not None and len(frame):
        encoded = place(encoded, frame)
    return Examples(cache.gather(list(frame["sha256"])), encoded, list(frame["name"]), target.groups(encoded))


def group_weights(groups: np.ndarray, balance: str, strength: float = 1.0) -> np.ndarray | None:
    """Weigh groups of like targets by their size to the power of -strength; None unless `balance` says so.

    The average over the examples is 1.
    """
    if balance != "weights":
        return None
    counts = np.bincount(groups)
    weights = np.maximum(counts, 1.0) ** -strength
    return (weights * len(groups) / (weights * counts).sum()).astype(np.float32)


def class_offsets(
    targets: np.ndarray, model: keras.Model, balance: str, strength: float = 1.0
) -> np.ndarray | None:
    """Return what training adds to a model's logits, [classes]; None unless `balance` is ``logits``.

    The logarithm of each class's share, times strength: the logits need not tell how frequent a class is.
    At strength 1 their largest is the best guess where classes count all the same (Menon and others 2021).
    """
    if balance != "logits":
        return None
    shares = np.maximum(np.bincount(targets, minlength=model.output_shape[-1]), 1) / len(targets)
    return (strength * np.log(shares)).astype(np.float32)


def dry_run(phase: Phase, training: Examples, target: Target) -> None:
    """Find what does not fit before the first epoch instead of somewhere in it.

    Raises:
        DataError: no examples, inputs that the model does not take, or a target out of range.
    """
    if not len(training):
        raise DataError("there is nothing to train on", got="0 examples in the training split")
    first = np.arange(min(2, len(training)))
    rows, model = training.rows[first], phase.model
    try:
        width = model(phase.given(tf.constant(rows), tf.constant(training.targets[first]))).shape[-1]
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        raise DataError(
            f"the examples do not fit the model: {training.names[0]}",
            got=f"{rows.dtype} of shape {list(rows.shape[1:])}",
            expected=f"{model.inputs[0].dtype} of shape {list(model.inputs[0].shape[1:])}",
            todo="correct the featurizer section of the recipe",
        ) from error
    misfits = target.misfits(training.targets, width)
    if len(misfits):
        raise DataError(
            f"a target does not fit the network: {training.names[misfits[0]]}",
            got=np.asarray(training.targets[misfits[:1]][0]).tolist(),
            expected=target.expected(width),
            todo="ingest the data again",
        )
