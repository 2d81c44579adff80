"""A recurrent encoder and decoder with attention (Bahdanau and others 2015, Luong and others 2015)."""

from typing import Any

import keras
import tensorflow as tf

from models.networks.texts.attention import NOWHERE, dense
from models.networks.texts.writer import Writer


@keras.saving.register_keras_serializable("servable")
class RecurrentWriter(Writer):
    """GRUs that read the source both ways, and GRUs that write the target and look back at it.

    Args:
        size: how many ids there are.
        width: of their vectors, and of the decoder's states.
        encoder: layers over the source.
        decoder: layers over the target.
        dropout: share of activations dropped.
    """

    def __init__(
        self,
        size: int,
        width: int = 256,
        encoder: int = 1,
        decoder: int = 1,
        dropout: float = 0.2,
        **options: Any,
    ) -> None:
        super().__init__(size, width, dropout, **options)
        self.sizes = {"encoder": encoder, "decoder": decoder}
        widths = [width] + [2 * width] * (encoder - 1)
        self.forwards = [_gru(before, width) for before in widths]
        self.backwards = [_gru(before, width) for before in widths]
        self.writers = [_gru(width, width) for _ in range(decoder)]
        self.starts = [dense(2 * width, width, activation="tanh") for _ in range(decoder)]
        self.keys, self.values = dense(2 * width, width), dense(2 * width, width)
        self.joined = dense(2 * width, width, activation="tanh")
        self.built = True

    def encode(self, source: Any, training: bool = False) -> tuple[Any, Any]:
        """Read ids [batch, n]: vectors [batch, n, 2 width], and the last ones of both ways together."""
        lengths = tf.reduce_sum(tf.cast(tf.not_equal(source, 0), tf.int32), 1)
        vectors = self.drop(self.vectors_of(source), training=training)
        forwards = backwards = vectors
        for one, other in zip(self.forwards, self.backwards, strict=True):
            forwards = one(vectors)
            # Reversed up to its own end, so that the padding comes last.
            turned = other(tf.reverse_sequence(vectors, lengths, 1))
            backwards = tf.reverse_sequence(turned, lengths, 1)
            vectors = self.drop(tf.concat([forwards, backwards], -1), training=training)
        last = tf.gather(forwards, lengths - 1, batch_dims=1)
        return vectors, tf.concat([last, backwards[:, 0]], -1)

    def read(self, source: Any) -> Any:
        """See `Writer.read`."""
        return self.encode(source)[0]

    def states(self, source: Any, previous: Any, training: bool = False, weights: bool = False) -> Any:
        """See `Writer.states`."""
        fixed, states = self._begun(source, training)
        written = self.drop(self.vectors_of(previous), training=training)
        for layer, state in zip(self.writers, states, strict=True):
            written = self.drop(layer(written, initial_state=state), training=training)
        output, attention = self._attended(written, *fixed)
        output = self.drop(output, training=training)
        return (output, attention) if weights else output

    def begin(self, source: Any) -> tuple[Any, Any]:
        """See `Writer.begin`."""
        return self._begun(source, False)

    def _begun(self, source: Any, training: bool) -> tuple[Any, Any]:
        vectors, last = self.encode(source, training)
        bias = tf.where(tf.equal(source, 0), NOWHERE, 0.0)[:, tf.newaxis]
        return (self.keys(vectors), self.values(vectors), bias), [start(last) for start in self.starts]

    def advance(self, fixed: Any, known: Any, last: Any, place: Any) -> tuple[Any, Any]:
        """See `Writer.advance`."""
        vectors, states = self.vectors_of(last), []
        for layer, state in zip(self.writers, known, strict=True):
            vectors, _ = layer.cell(vectors, [state])
            states.append(vectors)
        examples = tf.shape(fixed[0])[0]
        together = tf.reshape(vectors, [examples, -1, self.width])
        output, _ = self._attended(together, *fixed)
        return tf.reshape(output, [-1, self.width]), states

    def _attended(self, written: Any, keys: Any, values: Any, bias: Any) -> tuple[Any, Any]:
        logits = tf.matmul(written * self.width**-0.5, keys, transpose_b=True)
        attention = tf.nn.softmax(logits + bias)
        return self.joined(tf.concat([written, tf.matmul(attention, values)], -1)), attention

    def get_config(self) -> dict[str, Any]:
        """Return the sizes."""
        return super().get_config() | self.sizes


def _gru(inputs: int, units: int) -> keras.layers.GRU:
    layer = keras.layers.GRU(units, return_sequences=True)
    layer.build((None, None, inputs))
    return layer
