"""The inputs of a signature beside its examples: the usual value of each, and what is typed as an array."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from features.errors import UsageError

#: What is sent for an input that nobody gave a value for, by its name, as it would be typed.
USUAL = {"k": "10", "negative": "", "label": "", "patch": "0", "stride": "0", "fill": "nan"}
USUAL |= {"score_threshold": "nan", "iou_threshold": "nan"}


def coarse(shape: Sequence[int | None], positions: int) -> dict[str, str]:
    """Return the usual values, but for a stride of so many positions along the shorter side of features.

    Args:
        shape: of the features, without the batch axis; sides of at most 4 are channels.
        positions: where a patch stands; the usual 14 are fine, and cost as many squared passes.
    """
    sides = [side for side in shape if side is not None and side > 4]
    return USUAL | ({"stride": str(max(1, min(sides) // positions))} if sides else {})


def usual(
    function: Any, examples: Collection[str], rows: int, values: Mapping[str, str] = USUAL
) -> dict[str, np.ndarray]:
    """Return a value, the usual one or another, to each input of a signature but those that take examples.

    Raises:
        KeyError: an input has no usual value.
    """
    import tensorflow as tf

    specs = tf.nest.flatten(function.structured_input_signature)
    return {
        spec.name: array(spec.name, values[spec.name], spec.dtype.name, spec.shape.rank, rows)
        for spec in specs
        if spec.name not in examples
    }


def array(name: str, text: str, dtype: str, rank: int, rows: int = 1) -> np.ndarray:
    """Make the value of one input: cut at commas where it takes several, the same in every row.

    Args:
        name: of the input.
        text: as it is typed.
        dtype: TensorFlow's name.
        rank: of the input, its batch axis included.
        rows: length of that axis.

    Raises:
        UsageError: the text is no such value.
    """
    parts: Any = [part.strip() for part in text.split(",")] if rank == 2 else text
    if dtype == "string":
        return np.array([parts] * rows, dtype=object)
    try:
        return np.array([parts] * rows, dtype=np.dtype(dtype))
    except (TypeError, ValueError):
        raise UsageError(
            f"cannot read the value of input {name}", got=text, expected=f"a value of type {dtype}"
        ) from None
