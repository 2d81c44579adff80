"""The sentence CNN of Kim 2014, with the settings that Zhang and Wallace 2015 study."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from models.networks.texts.sequences import Maximum, Present, Reach, looked_up


def convolutions(
    shape: tuple[int | None, ...],
    lookups: tuple[keras.layers.Layer, ...],
    *,
    regions: Sequence[int],
    maps: int,
    activation: str,
    word_dropout: float = 0.0,
) -> keras.Model:
    """Build convolutions over several region sizes, each followed by 1-max pooling.

    Convolutions are wide: a sentence shorter than a region is seen by it as well.

    Args:
        shape: of a text's ids: [tokens], or [tokens, 1 + pieces].
        lookups: ids to vectors, one for each channel.
        regions: words that the kernels of each group span.
        maps: feature maps of each group.
        activation: ``relu`` or ``tanh``.
        word_dropout: share of a vector's features dropped, the same ones for all words of a text.

    Returns:
        A model from ids [batch, *shape] to [batch, len(regions) * maps].
    """
    ids = keras.Input(shape, dtype="int32", name="ids")
    vectors, present = looked_up(ids, lookups), Present()(ids)
    vectors = layers.SpatialDropout1D(word_dropout)(vectors) if word_dropout else vectors
    pooled = []
    for size in regions:
        x: Any = layers.ZeroPadding1D(size - 1)(vectors)
        x = layers.Conv1D(maps, size, activation=activation, name=f"region_{size}")(x)
        pooled.append(Maximum()(x, Reach(size)(present)))
    joined = layers.Concatenate()(pooled) if len(pooled) > 1 else pooled[0]
    return keras.Model(ids, joined, name="sentence_cnn")
