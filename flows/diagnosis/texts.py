"""Mistakes in turning a text into ids."""

from typing import Any

import numpy as np
import tensorflow as tf

from features.texts.featurizer import PADDING, TextFeaturizer
from flows.diagnosis.mistake import Mistake


def mistakes(content: bytes, raw: bytes, featurizer: TextFeaturizer) -> list[Mistake]:
    """Return what a client may make of a text, whose content is what is sent: ids [tokens]."""
    bases = [Mistake((), "", _ids(raw, featurizer))]
    text = raw.decode("utf-8", "replace")
    for cause, other in (("lower case", text.lower()), ("upper case", text.upper())):
        ids = _ids(other.encode(), featurizer)
        if not np.array_equal(ids, bases[0].values):
            bases.append(Mistake((cause,), "send the text as it is: the model treats case itself", ids))
    return bases


def _ids(raw: bytes, featurizer: TextFeaturizer) -> np.ndarray:
    ids = featurizer(tf.constant([raw])).numpy()[0]
    return ids if ids.ndim == 1 else ids[:, 0]


def laid_out(given: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, str | None]:
    """Bring ids to [tokens]; say how they differ from the right ones where that can be told."""
    ids = np.squeeze(given)
    if ids.ndim != 1:
        return ids, f"shape {list(given.shape)}: send one id for each token"
    ids = ids.astype(np.int64)
    there = ids[ids != PADDING]
    if np.array_equal(there, right):
        return there, None if len(ids) == len(right) else _padded(ids)
    if len(there) != len(right):
        return ids, f"another tokenizer: {len(there)} tokens; the model has {len(right)}"
    if len(set(there - right)) == 1:
        return (
            there,
            f"another vocabulary (every id is {there[0] - right[0]:+d}): the model's begins at 1",
        )
    pairs = set(zip(there.tolist(), right.tolist(), strict=True))
    if len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}):
        return there, "another vocabulary (the same tokens in another order): use assets/ of the release"
    return there, "another vocabulary: use assets/ of the release"


def _padded(ids: np.ndarray) -> str | None:
    """Say that ids are padded at their beginning; at their end they may be."""
    return "padding (before the text): padding stands behind it" if ids[0] == PADDING else None


def network_input(values: np.ndarray, featurizer: Any) -> Any:
    """Return what the network is given for ids."""
    return tf.constant(values[np.newaxis], tf.int32)
