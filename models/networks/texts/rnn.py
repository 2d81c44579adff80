"""Recurrent networks over sequences of vectors."""

from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import layers
from pydantic import Field

from features.settings import Settings
from models.networks.texts.sequences import POOLING


def recurrent(
    shape: tuple[int | None, ...],
    *,
    cell: str,
    units: Sequence[int],
    bidirectional: bool,
    pooling: str,
    dropout: float,
    recurrent_dropout: float,
    masked: bool = False,
) -> keras.Model:
    """Build stacked recurrent layers.

    Args:
        shape: [steps, width] of one input.
        cell: ``gru``, ``lstm`` or ``simple-rnn``.
        units: of each layer; both directions have as many.
        bidirectional: whether each layer also reads from the end.
        pooling: ``last`` takes the last state, ``mean`` and ``max`` pool over all steps.
        dropout: share of a layer's inputs dropped.
        recurrent_dropout: share of its states dropped.
        masked: whether a second input, bool [batch, steps], tells which steps are there.

    Returns:
        A model from [batch, steps, width] to [batch, d].
    """
    inputs = x = keras.Input(shape, name="sequence")
    present = keras.Input(shape[:1], dtype="bool", name="present") if masked else None
    for number, size in enumerate(units):
        whole = pooling != "last" or number < len(units) - 1
        layer: Any = CELLS[cell](
            size, return_sequences=whole, dropout=dropout, recurrent_dropout=recurrent_dropout
        )
        layer = layers.Bidirectional(layer) if bidirectional else layer
        x = layer(x) if present is None else layer(x, mask=present)
    if present is not None:
        x = POOLING[pooling]()(x, present) if pooling in POOLING else x
        return keras.Model([inputs, present], x, name="recurrent")
    if pooling == "mean":
        x = layers.GlobalAveragePooling1D()(x)
    elif pooling == "max":
        x = layers.GlobalMaxPooling1D()(x)
    return keras.Model(inputs, x, name="recurrent")


CELLS: dict[str, Any] = {"gru": layers.GRU, "lstm": layers.LSTM, "simple-rnn": layers.SimpleRNN}


class RnnSettings(Settings):
    """A recurrent network over the frames."""

    kind: Literal["rnn"] = Field(description="a recurrent network over the frames")
    cell: Literal["gru", "lstm", "simple-rnn"] = Field("gru", description="type of recurrent cell")
    units: tuple[int, ...] = Field((96,), min_length=1, description="units per layer and direction")
    bidirectional: bool = Field(True, description="whether layers also read the sequence backwards")
    pooling: Literal["last", "mean", "max"] = Field("mean", description="how the states are pooled")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout rate of the inputs")
    recurrent_dropout: float = Field(0.0, ge=0, lt=1, description="dropout rate of the states")
