"""A Transformer with pre-normalisation (Vaswani and others 2017) that writes sequences for sequences."""

from typing import Any

import keras
import tensorflow as tf

from models.networks.texts.attention import NOWHERE, Attention, Feed, normalisation, positions
from models.networks.texts.writer import Writer


@keras.saving.register_keras_serializable("servable")
class Transformer(Writer):
    """Encoder and decoder over one vocabulary; the vectors of ids are also the weights of the output.

    Args:
        size: how many ids there are.
        width: of the vectors.
        heads: of each attention.
        inner: units of the dense layers between.
        encoder: layers over the source.
        decoder: layers over the target.
        dropout: share of activations dropped.
    """

    def __init__(
        self,
        size: int,
        width: int = 256,
        heads: int = 4,
        inner: int = 1024,
        encoder: int = 3,
        decoder: int = 3,
        dropout: float = 0.1,
        **options: Any,
    ) -> None:
        super().__init__(size, width, dropout, **options)
        self.sizes = {"heads": heads, "inner": inner, "encoder": encoder, "decoder": decoder}
        self.encoder = [Encoding(width, heads, inner, dropout) for _ in range(encoder)]
        self.decoder = [Decoding(width, heads, inner, dropout) for _ in range(decoder)]
        self.after_encoder, self.after_decoder = normalisation(width), normalisation(width)
        self.built = True

    def encode(self, source: Any, training: bool = False) -> Any:
        """Read ids [batch, n]: vectors [batch, n, width]."""
        bias = tf.where(tf.equal(source, 0), NOWHERE, 0.0)[:, tf.newaxis, tf.newaxis]
        vectors = self._placed(source, 0, training)
        for layer in self.encoder:
            vectors = layer(vectors, bias, training=training)
        return self.after_encoder(vectors)

    def read(self, source: Any) -> Any:
        """See `Writer.read`."""
        return self.encode(source)

    def states(self, source: Any, previous: Any, training: bool = False, weights: bool = False) -> Any:
        """See `Writer.states`."""
        memory = self.encode(source, training)
        bias = tf.where(tf.equal(source, 0), NOWHERE, 0.0)[:, tf.newaxis, tf.newaxis]
        length = tf.shape(previous)[1]
        later = (1 - tf.linalg.band_part(tf.ones([length, length]), -1, 0)) * NOWHERE
        vectors, attentions = self._placed(previous, 0, training), []
        for layer in self.decoder:
            vectors, attention = layer(
                vectors, layer.own_pairs(vectors), layer.other.pairs(memory), later, bias, training=training
            )
            attentions.append(tf.reduce_mean(attention, 1))
        vectors = self.after_decoder(vectors)
        return (vectors, tf.add_n(attentions) / len(attentions)) if weights else vectors

    def begin(self, source: Any) -> tuple[Any, Any]:
        """See `Writer.begin`."""
        memory = self.encode(source)
        bias = tf.where(tf.equal(source, 0), NOWHERE, 0.0)[:, tf.newaxis, tf.newaxis]
        fixed = ([layer.other.pairs(memory) for layer in self.decoder], bias)
        empty = tf.zeros([tf.shape(source)[0], 0, 2 * self.width])
        return fixed, [empty for _ in self.decoder]

    def advance(self, fixed: Any, known: Any, last: Any, place: Any) -> tuple[Any, Any]:
        """See `Writer.advance`."""
        memories, bias = fixed
        examples = tf.shape(bias)[0]
        vectors, states = self._placed(last[:, tf.newaxis], place, False), []
        for layer, memory, before in zip(self.decoder, memories, known, strict=True):
            pairs = tf.concat([before, layer.own_pairs(vectors)], 1)
            states.append(pairs)
            vectors = layer.next(vectors, pairs, memory, bias, examples)
        return self.after_decoder(vectors)[:, 0], states

    def _placed(self, ids: Any, start: Any, training: bool) -> Any:
        vectors = self.vectors_of(ids) * self.width**0.5
        return self.drop(vectors + positions(start, tf.shape(ids)[1], self.width), training=training)

    def get_config(self) -> dict[str, Any]:
        """Return the sizes."""
        return super().get_config() | self.sizes


class Encoding(keras.Layer):
    """One layer over the source."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.before, self.own = normalisation(width), Attention(width, heads)
        self.before_feed, self.feed = normalisation(width), Feed(width, inner, dropout)
        self.drop = keras.layers.Dropout(dropout)
        self.built = True

    def call(self, vectors: Any, bias: Any, training: bool = False) -> Any:
        """Change vectors [batch, n, width]."""
        plain = self.before(vectors)
        vectors += self.drop(self.own(plain, self.own.pairs(plain), bias), training=training)
        return vectors + self.drop(self.feed(self.before_feed(vectors), training=training), training=training)


class Decoding(keras.Layer):
    """One layer over the target, which sees what was written before and the source."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.before, self.own = normalisation(width), Attention(width, heads)
        self.before_other, self.other = normalisation(width), Attention(width, heads)
        self.before_feed, self.feed = normalisation(width), Feed(width, inner, dropout)
        self.drop = keras.layers.Dropout(dropout)
        self.built = True

    def own_pairs(self, vectors: Any) -> Any:
        """Return the keys and values of what is written."""
        return self.own.pairs(self.before(vectors))

    def call(
        self, vectors: Any, pairs: Any, memory: Any, later: Any, bias: Any, training: bool = False
    ) -> tuple[Any, Any]:
        """Change vectors [batch, m, width]; give the attention to the source as well."""
        own = self.own(self.before(vectors), pairs, later)
        vectors += self.drop(own, training=training)
        other, attention = self.other(self.before_other(vectors), memory, bias, weights=True)
        vectors += self.drop(other, training=training)
        fed = self.feed(self.before_feed(vectors), training=training)
        return vectors + self.drop(fed, training=training), attention

    def next(self, vectors: Any, pairs: Any, memory: Any, bias: Any, examples: Any) -> Any:
        """Go on by one place: vectors [examples * lanes, 1, width]; all lanes see one memory."""
        vectors += self.own(self.before(vectors), pairs, tf.zeros([]))
        shape = tf.shape(vectors)
        together = tf.reshape(self.before_other(vectors), [examples, -1, vectors.shape[-1]])
        vectors += tf.reshape(self.other(together, memory, bias), shape)
        return vectors + self.feed(self.before_feed(vectors))
