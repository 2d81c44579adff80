"""What networks that write a sequence for a sequence have in common."""

from typing import Any

import keras
import tensorflow as tf

from features.texts.pieces import BEGIN, BYTES, END
from models.networks.texts.beam_search import Search

_NEVER = -1e9


class Writer(keras.Layer):
    """Source ids and the target's ids before each place to the logits of the next one.

    A network defines `states`, `begin` and `advance`, which must agree.

    Args:
        size: how many ids there are.
        width: of their vectors, which are also the weights of the output.
        dropout: share of activations dropped.
    """

    def __init__(self, size: int, width: int, dropout: float, **options: Any) -> None:
        super().__init__(**options)
        self.size, self.width, self.dropout = size, width, dropout
        spread = keras.initializers.RandomNormal(stddev=width**-0.5, seed=keras.random.SeedGenerator())
        self.vectors = self.add_weight(shape=(size, width), initializer=spread, name="vectors")
        self.bias = self.add_weight(shape=(size,), initializer="zeros", name="bias")
        self.drop = keras.layers.Dropout(dropout)
        #: Exponent of the length in a search, which is no part of the training.
        self.length_penalty = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="length_penalty"
        )

    def states(self, source: Any, previous: Any, training: bool = False, weights: bool = False) -> Any:
        """Return what each next id is told by.

        Args:
            source: ids [batch, n], 0 behind the end.
            previous: ids before each place of the target [batch, m].
            training: whether activations are dropped.
            weights: give the attention [batch, m, n] as well.

        Returns:
            [batch, m, width].
        """
        raise NotImplementedError

    def read(self, source: Any) -> Any:
        """Read the source: vectors [batch, n, d]."""
        raise NotImplementedError

    def begin(self, source: Any) -> tuple[Any, Any]:
        """Read the source: what stays the same while the target is written, and what is known of it yet.

        Both are nested tensors [batch, ...]; the second is kept for each hypothesis.
        """
        raise NotImplementedError

    def advance(self, fixed: Any, known: Any, last: Any, place: Any) -> tuple[Any, Any]:
        """Go on by one id.

        Args:
            fixed: of `begin`, [batch, ...].
            known: of each hypothesis, [batch * hypotheses, ...].
            last: id before this place, [batch * hypotheses].
            place: from 0 on.

        Returns:
            The state [batch * hypotheses, width], and what is known then.
        """
        raise NotImplementedError

    def call(self, source: Any, previous: Any, training: bool = False) -> Any:
        """Return the logits of each next id: [batch, m, size]."""
        return self.logits(self.states(source, previous, training))

    def logits(self, states: Any) -> Any:
        """Compare states [..., width] with the vectors of all ids: [..., size]."""
        flat = tf.matmul(tf.reshape(states, [-1, self.width]), self.vectors, transpose_b=True) + self.bias
        return tf.reshape(flat, tf.concat([tf.shape(states)[:-1], [self.size]], 0))

    def vectors_of(self, ids: Any) -> Any:
        """Look the vectors of ids up."""
        return tf.gather(self.vectors, ids)

    def write(self, source: Any, search: Search, limits: Any) -> tuple[Any, Any]:
        """Write the most probable target of each source; see `Search.run`."""
        fixed, memory = self.begin(source)
        never = tf.constant([_NEVER] * END + [0.0] * (self.size - END))

        def step(memory: Any, last: Any, place: Any) -> tuple[Any, Any]:
            states, memory = self.advance(fixed, memory, last, place)
            return tf.nn.log_softmax(self.logits(states)) + never, memory

        return search.run(step, memory, limits)

    def compute_output_spec(self, source: Any, previous: Any, training: bool = False) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor((*previous.shape, self.size), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the sizes."""
        return super().get_config() | {"size": self.size, "width": self.width, "dropout": self.dropout}


@keras.saving.register_keras_serializable("servable")
class MeanReading(keras.Layer):
    """Average what a network reads of a source over its places: ids [batch, n] to [batch, d].

    Args:
        writer: the network.
    """

    def __init__(self, writer: Writer, **options: Any) -> None:
        super().__init__(**options)
        self.writer = writer
        self.built = True

    def call(self, source: Any) -> Any:
        """Leave the padding out."""
        vectors = self.writer.read(source)
        there = tf.cast(tf.not_equal(source, 0), vectors.dtype)[..., tf.newaxis]
        return tf.reduce_sum(vectors * there, 1) / tf.reduce_sum(there, 1)


def shifted(targets: Any) -> Any:
    """Return the id before each place of targets [batch, m]: BEGIN, and all but the last."""
    first = tf.fill([tf.shape(targets)[0], 1], tf.constant(BEGIN, targets.dtype))
    return tf.concat([first, targets[:, :-1]], 1)


assert END + 1 == BYTES, "what follows the end can be written"
