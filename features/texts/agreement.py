"""Compare Python's decoding of a text with the featurizer's."""

from collections.abc import Mapping
from typing import Any

from features.texts import tokenizer


def difference(own: bytes, kept: bytes, rules: Mapping[str, Any]) -> str | None:
    """Compare Python's characters with those that the featurizer's decoder gives."""
    import tensorflow as tf

    expected = kept.decode("utf-8")
    decoded = tokenizer.decoded(tf.constant(kept)).numpy().decode("utf-8", "replace")
    if decoded == expected:
        return None
    place = next(
        (at for at, (a, b) in enumerate(zip(decoded, expected, strict=False)) if a != b), len(decoded)
    )
    return f"character {place:,} of {len(expected):,} is another one in the served graph"
