"""Sequences of token ids as a network sees them: vectors, where a sequence ends, pooling up to there.

What fills up a shorter sequence of a batch counts for nothing: it is a zero vector, no maximum and no mean
sees it, and recurrent layers pass over it.
"""

from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from pydantic import Field

from features.settings import Settings


def numbers(ids: Any) -> Any:
    """Return the ids of tokens [batch, n], without those of their pieces [batch, n, 1 + pieces]."""
    return ids if len(ids.shape) == 2 else ids[..., 0]


@keras.saving.register_keras_serializable("servable")
class Present(keras.Layer):
    """Return which places of a sequence hold a token: ids [batch, n, ...] to bool [batch, n]."""

    def call(self, ids: Any) -> Any:
        """Compare with the id of padding, 0."""
        return tf.not_equal(numbers(ids), 0)

    def compute_output_spec(self, ids: Any) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor(ids.shape[:2], "bool")


@keras.saving.register_keras_serializable("servable")
class Forget(keras.Layer):
    """Replace some tokens by the unknown one, during training only: ids [batch, n, ...] to ids; pieces stay.

    A vocabulary that holds every token of the training split would teach nothing about unknown ones.

    Args:
        share: of the tokens.
        unknown: id of an unknown token.
    """

    def __init__(self, share: float, unknown: int, **options: Any) -> None:
        super().__init__(autocast=False, **({"dtype": "int32"} | options))
        self.share, self.unknown = share, unknown
        self.seeds = keras.random.SeedGenerator()
        self.built = True

    def call(self, ids: Any, training: bool = False) -> Any:
        """Draw which ones; padding stays padding."""
        if not training:
            return ids
        tokens = numbers(ids)
        drawn = keras.random.uniform(tf.shape(tokens), seed=self.seeds) < self.share
        changed = tf.where(drawn & tf.not_equal(tokens, 0), self.unknown, tokens)
        return changed if tokens is ids else tf.concat([changed[..., tf.newaxis], ids[..., 1:]], -1)

    def compute_output_spec(self, ids: Any, training: bool = False) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor(ids.shape, "int32")

    def get_config(self) -> dict[str, Any]:
        """Return the share and the id."""
        return super().get_config() | {"share": self.share, "unknown": self.unknown}


@keras.saving.register_keras_serializable("servable")
class TokenVectors(keras.Layer):
    """Look vectors up: ids [batch, n, ...] to [batch, n, width]; zero for padding.

    Args:
        size: how many ids there are, padding included.
        width: of a vector.
        vectors: [size, width] to begin with; None for random ones.
        spread: largest absolute value of random ones. Like the vectors it is not kept in the config: a layer
            made again gets its weights from where it was saved.
    """

    def __init__(
        self,
        size: int,
        width: int,
        vectors: np.ndarray | None = None,
        spread: float = 0.25,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.size, self.width = size, width
        start = (
            keras.initializers.RandomUniform(-spread, spread, seed=keras.random.SeedGenerator())
            if vectors is None
            else keras.initializers.Constant(np.asarray(vectors, np.float32))
        )
        self.vectors = self.add_weight(
            shape=(size, width), initializer=start, trainable=self.trainable, name="vectors"
        )
        self.built = True

    def call(self, ids: Any) -> Any:
        """Return the vector of each id."""
        tokens = numbers(ids)
        vectors = tf.gather(self.vectors, tokens)
        return vectors * tf.cast(tf.not_equal(tokens, 0), vectors.dtype)[..., tf.newaxis]

    def compute_output_spec(self, ids: Any) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor((*ids.shape[:2], self.width), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the sizes."""
        return super().get_config() | {"size": self.size, "width": self.width}


@keras.saving.register_keras_serializable("servable")
class PieceVectors(keras.Layer):
    """Average the vectors of each token's pieces: ids [batch, n, 1 + pieces] to [batch, n, width].

    Zero where a token has no pieces.

    Args:
        buckets: largest number of a piece.
        width: of a vector.
    """

    def __init__(self, buckets: int, width: int, **options: Any) -> None:
        super().__init__(**options)
        self.buckets, self.width = buckets, width
        # Smaller than vectors of whole words: a word begins as itself, told a little by its spelling.
        start = keras.initializers.RandomUniform(-0.05, 0.05, seed=keras.random.SeedGenerator())
        self.vectors = self.add_weight(shape=(buckets + 1, width), initializer=start, name="vectors")
        self.built = True

    def call(self, ids: Any) -> Any:
        """Look up what is there alone: most places of the pieces are empty."""
        pieces = tf.reshape(ids[..., 1:], [-1, ids.shape[-1] - 1])
        there = tf.where(tf.not_equal(pieces, 0))
        means = tf.sparse.segment_mean(
            self.vectors,
            tf.gather_nd(pieces, there),
            there[:, 0],
            num_segments=tf.shape(pieces)[0],
            sparse_gradient=True,
        )
        return tf.reshape(means, [*tf.unstack(tf.shape(ids)[:2]), self.width])

    def compute_output_spec(self, ids: Any) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor((*ids.shape[:2], self.width), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the sizes."""
        return super().get_config() | {"buckets": self.buckets, "width": self.width}


@keras.saving.register_keras_serializable("servable")
class Maximum(keras.Layer):
    """Take the largest value of each feature over the places that are there: [batch, n, d] to [batch, d]."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Which places are there is an input; what Keras attaches to the values says the same.
        self.supports_masking = True

    def compute_mask(self, *inputs: Any, **masks: Any) -> None:
        """Attach nothing: every result is there."""

    def call(self, values: Any, present: Any) -> Any:
        """Pool over the second axis; at least one place must be present."""
        lowest = tf.constant(values.dtype.min, values.dtype)
        return tf.reduce_max(tf.where(present[..., tf.newaxis], values, lowest), 1)

    def compute_output_spec(self, values: Any, present: Any) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor((values.shape[0], values.shape[2]), values.dtype)


@keras.saving.register_keras_serializable("servable")
class Mean(keras.Layer):
    """Average each feature over the places that are there: [batch, n, d] to [batch, d]."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Which places are there is an input; what Keras attaches to the values says the same.
        self.supports_masking = True

    def compute_mask(self, *inputs: Any, **masks: Any) -> None:
        """Attach nothing: every result is there."""

    def call(self, values: Any, present: Any) -> Any:
        """Pool over the second axis."""
        there = tf.cast(present, values.dtype)[..., tf.newaxis]
        return tf.reduce_sum(values * there, 1) / tf.maximum(tf.reduce_sum(there, 1), 1.0)

    def compute_output_spec(self, values: Any, present: Any) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor((values.shape[0], values.shape[2]), values.dtype)


@keras.saving.register_keras_serializable("servable")
class Reach(keras.Layer):
    """Return which outputs of a wide convolution see a token: bool [batch, n] to [batch, n + size - 1].

    Args:
        size: of the region a kernel spans.
    """

    def __init__(self, size: int, **options: Any) -> None:
        super().__init__(**options)
        self.size = size

    def call(self, present: Any) -> Any:
        """Widen every sequence by size - 1 places."""
        count = tf.reduce_sum(tf.cast(present, tf.int32), 1) + self.size - 1
        return tf.sequence_mask(count, tf.shape(present)[1] + self.size - 1)

    def compute_output_spec(self, present: Any) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor((present.shape[0], None), "bool")

    def get_config(self) -> dict[str, Any]:
        """Return the region's size."""
        return super().get_config() | {"size": self.size}


POOLING: dict[str, type[keras.Layer]] = {"max": Maximum, "mean": Mean}


def channels(
    size: int,
    width: int,
    mode: str,
    vectors: np.ndarray | None = None,
    subwords: int = 0,
    spread: float = 0.25,
) -> tuple[keras.layers.Layer, ...]:
    """Make the lookups that ``mode`` names, as Kim 2014 calls them, and the one of subwords.

    Args:
        size: how many ids there are.
        width: of a vector.
        mode: ``random`` and ``non-static`` learn their vectors, ``static`` leaves them as they are,
            ``multichannel`` has one of each.
        vectors: [size, width] to begin with; None for random ones.
        subwords: buckets of the pieces of tokens, 0 for none; their vectors are learnt in every mode.
        spread: largest absolute value of a random vector.
    """
    learnt = TokenVectors(size, width, vectors, spread, name="vectors")
    fixed = TokenVectors(size, width, vectors, spread, trainable=False, name="static_vectors")
    whole = {"static": (fixed,), "multichannel": (fixed, learnt)}.get(mode, (learnt,))
    return (*whole, PieceVectors(subwords, width, name="piece_vectors")) if subwords else whole


def looked_up(ids: Any, lookups: tuple[keras.layers.Layer, ...]) -> Any:
    """Apply the lookups; several channels under the same filters are the filters over their sum."""
    outputs = [lookup(ids) for lookup in lookups]
    return layers.Add()(outputs) if len(outputs) > 1 else outputs[0]


class VectorSettings(Settings):
    """Where the vectors of tokens come from."""

    width: int = Field(300, ge=1, le=4096, description="size of a token's vector if none are given")
    vectors: str | None = Field(
        None, description="a word-vectors release, a vectors file or a hub module; null for random ones"
    )
    spread: float = Field(
        0.25, gt=0, le=10, description="largest absolute value in a random vector; 0.25 as of Kim 2014"
    )
    channels: Literal["static", "non-static", "multichannel"] = Field(
        "non-static",
        description="static: keep the given vectors; non-static: train them; multichannel: use both",
    )
    token_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of tokens that are replaced by the unknown token during training"
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout rate before the logits")
    wide: int = Field(
        0,
        ge=0,
        description="tokens and pairs of tokens whose naive Bayes scores are added to the logits; 0 for none",
    )
