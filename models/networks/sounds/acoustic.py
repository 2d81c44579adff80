"""From spectrograms to what is said in each frame: convolutions, then recurrent layers in both directions.

Frames that a sound lacks are NaN on the way in and out, and nothing of them reaches the others: convolutions
are padded alike whatever the length of the batch, and what is normalised is a frame, or a sound by itself.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from models.networks.sounds.recurrence import BidirectionalGru
from models.networks.windows import present

#: Decibels that count as spread in a band where a sound has less.
_LEAST_SPREAD = 1.0


@keras.saving.register_keras_serializable("servable")
class Encoder(keras.Layer):
    """Turn spectrograms [batch, frames, bands] into vectors [batch, frames / stride, width].

    Each band of a sound is brought to mean 0 and spread 1 first, so that loudness and channel do not count.

    Args:
        filters: of each convolution; the first two halve the bands.
        strides: of each convolution in time.
        dense: units between convolutions and recurrent layers.
        units: of each recurrent layer and direction.
        dropout: share of the inputs of each recurrent layer that are dropped.
    """

    def __init__(
        self,
        filters: Sequence[int],
        strides: Sequence[int],
        dense: int,
        units: Sequence[int],
        dropout: float,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.filters, self.strides, self.dense = list(filters), list(strides), dense
        self.units, self.dropout = list(units), dropout
        self.convolutions = [
            layers.Conv2D(
                count,
                _kernel(place),
                strides=(stride, 2 if place < 2 else 1),
                use_bias=False,
                name=f"convolution_{place}",
            )
            for place, (count, stride) in enumerate(zip(filters, strides, strict=True))
        ]
        self.norms = [layers.LayerNormalization(axis=(-2, -1), name=f"norm_{n}") for n in range(len(filters))]
        self.projection = layers.Dense(dense, name="projection")
        self.projection_norm = layers.LayerNormalization(name="projection_norm")
        self.recurrent = [BidirectionalGru(count, name=f"gru_{n}") for n, count in enumerate(units)]
        self.recurrent_norms = [layers.LayerNormalization(name=f"gru_norm_{n}") for n in range(len(units))]
        self.drops = [layers.Dropout(dropout, name=f"dropout_{n}") for n in range(len(units) + 1)]

    @property
    def width(self) -> int:
        """Length of a vector."""
        return 2 * self.units[-1]

    @property
    def stride(self) -> int:
        """Frames for each vector."""
        stride = 1
        for each in self.strides:
            stride *= each
        return stride

    def build(self, shape: Any) -> None:
        """Make the weights of all layers."""
        bands, channels = shape[-1], 1
        for place, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            convolution.build((None, None, None, channels))
            bands, channels = -(-bands // (2 if place < 2 else 1)), self.filters[place]
            norm.build((None, None, bands, channels))
        self.projection.build((None, None, bands * channels))
        self.projection_norm.build((None, None, self.dense))
        width = self.dense
        for layer, norm in zip(self.recurrent, self.recurrent_norms, strict=True):
            layer.build((None, None, width))
            width = 2 * layer.units
            norm.build((None, None, width))

    def call(self, frames: Any, training: bool = False) -> Any:
        """Read the frames that are there; the others come out as NaN."""
        there = present(frames)
        lengths = tf.reduce_sum(tf.cast(there, tf.int32), 1)
        x = standardised(frames, there)[..., tf.newaxis]
        for place, convolution in enumerate(self.convolutions):
            edge = _kernel(place)[0] // 2
            # The same on both sides, so that a frame does not depend on how long the batch is.
            y = convolution(tf.pad(x, [[0, 0], [edge, edge], [edge, edge], [0, 0]]))
            y = tf.nn.relu(self.norms[place](y))
            lengths = -(-lengths // self.strides[place])
            y = y if y.shape[2:] != x.shape[2:] else x + y
            x = tf.where(tf.sequence_mask(lengths, tf.shape(y)[1])[..., tf.newaxis, tf.newaxis], y, 0.0)
        x = tf.reshape(x, [*tf.unstack(tf.shape(x)[:2]), x.shape[2] * x.shape[3]])
        x = tf.nn.relu(self.projection_norm(self.projection(self.drops[0](x, training=training))))
        for layer, norm, drop in zip(self.recurrent, self.recurrent_norms, self.drops[1:], strict=True):
            x = norm(layer(drop(x, training=training), lengths, training=training))
        there = tf.sequence_mask(lengths, tf.shape(x)[1])[..., tf.newaxis]
        return tf.ensure_shape(tf.where(there, x, float("nan")), [None, None, self.width])

    def compute_output_spec(self, frames: Any, training: bool = False) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor((frames.shape[0], None, self.width), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the layer's settings."""
        names = ("filters", "strides", "dense", "units", "dropout")
        return super().get_config() | {name: getattr(self, name) for name in names}


def _kernel(place: int) -> tuple[int, int]:
    return (5, 5) if place == 0 else (3, 3)


def standardised(frames: Any, there: Any) -> Any:
    """Bring each band of each sound to mean 0 and spread 1 over its frames; 0 where it has none."""
    there = tf.cast(there, tf.float32)[..., tf.newaxis]
    frames = tf.where(there > 0, frames, 0.0)
    count = tf.maximum(tf.reduce_sum(there, 1, keepdims=True), 1.0)
    mean = tf.reduce_sum(frames, 1, keepdims=True) / count
    centred = (frames - mean) * there
    spread = tf.sqrt(tf.reduce_sum(tf.square(centred), 1, keepdims=True) / count)
    return centred / (spread + _LEAST_SPREAD)


@keras.saving.register_keras_serializable("servable")
class FrameLogits(keras.Layer):
    """Turn vectors [batch, frames, d] into logits [batch, frames, outputs]; NaN stays NaN.

    Args:
        outputs: labels and the blank.
        dropout: share of the inputs dropped.
    """

    def __init__(self, outputs: int, dropout: float, **options: Any) -> None:
        super().__init__(**options)
        self.outputs, self.dropout = outputs, dropout
        self.inner = layers.Dense(outputs, name="logits")
        self.drop = layers.Dropout(dropout)

    def build(self, shape: Any) -> None:
        """Make the weights."""
        self.inner.build(shape)

    def call(self, vectors: Any, training: bool = False) -> Any:
        """Apply a dense layer to the frames that are there."""
        there = present(vectors)[..., tf.newaxis]
        logits = self.inner(self.drop(tf.where(there, vectors, 0.0), training=training))
        return tf.where(there, logits, float("nan"))

    def compute_output_spec(self, vectors: Any, training: bool = False) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor((*vectors.shape[:2], self.outputs), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the layer's settings."""
        return super().get_config() | {"outputs": self.outputs, "dropout": self.dropout}


@keras.saving.register_keras_serializable("servable")
class AtSilence(keras.Layer):
    """Cut long spectrograms where they are quietest, apply a model to the pieces, and join its outputs.

    A model that was trained on short utterances reads recordings of any length in pieces of about their
    length. While training nothing is cut.

    Args:
        inner: model from [n, frames, bands] to [n, frames / stride, outputs].
        stride: frames for one output.
        longest: frames of a piece; a cut falls in the second half of that.
        seam: output that is said in the first frame behind a cut, such as a space.

    Attributes:
        favour: weight of a language model and bonus for each label, which a decoder of the outputs takes;
            chosen once the weights are trained, and kept among them.
    """

    def __init__(self, inner: Any, stride: int, longest: int, seam: int, **options: Any) -> None:
        super().__init__(**options)
        self.inner, self.stride, self.seam = inner, stride, seam
        # Cuts fall between outputs.
        self.longest = max(2, longest // stride) * stride
        self._outputs = int(inner.output_shape[-1])
        self.favour = self.add_weight(shape=(2,), initializer="zeros", trainable=False, name="favour")
        self.built = True

    def call(self, frames: Any, training: bool = False) -> Any:
        """Answer the frames that are there; the others come out as NaN."""
        if training:
            return self.inner(frames, training=True)
        lengths = tf.reduce_sum(tf.cast(present(frames), tf.int32), 1)
        starts, counts = pieces(frames, lengths, self.longest, self.stride)
        return self._joined(frames, lengths, starts, counts)

    def _joined(self, frames: Any, lengths: Any, starts: Any, counts: Any) -> Any:
        """Apply the model to pieces [batch, pieces] and lay its outputs side by side."""
        there = tf.sequence_mask(counts, tf.shape(starts)[1])
        owners = tf.cast(tf.where(there)[:, 0], tf.int32)
        begins = tf.boolean_mask(starts, there)
        following = tf.concat([starts[:, 1:], lengths[:, tf.newaxis]], 1)
        last = tf.range(tf.shape(starts)[1])[tf.newaxis] == counts[:, tf.newaxis] - 1
        ends = tf.boolean_mask(tf.where(last, lengths[:, tf.newaxis], following), there)
        span = tf.range(tf.maximum(tf.reduce_max(tf.concat([ends - begins, [0]], 0)), 1))
        places = begins[:, tf.newaxis] + span[tf.newaxis]
        inside = tf.minimum(places, tf.shape(frames)[1] - 1)
        cut = tf.gather_nd(
            frames, tf.stack([tf.broadcast_to(owners[:, tf.newaxis], tf.shape(places)), inside], 2)
        )
        cut = tf.where((places < ends[:, tf.newaxis])[..., tf.newaxis], cut, float("nan"))
        answers = self.inner(cut, training=False)
        # From each output of the whole to the piece it is of, and its place there.
        outputs = tf.range(-(-tf.shape(frames)[1] // self.stride))
        beginning = tf.where(there, starts // self.stride, tf.shape(frames)[1])
        number = tf.searchsorted(
            beginning, tf.tile(outputs[tf.newaxis], [tf.shape(starts)[0], 1]), side="right"
        )
        number = tf.maximum(number - 1, 0)
        offset = outputs[tf.newaxis] - tf.gather(beginning, number, axis=1, batch_dims=1)
        piece = number + tf.cumsum(counts, exclusive=True)[:, tf.newaxis]
        offset = tf.clip_by_value(offset, 0, tf.shape(answers)[1] - 1)
        joined = tf.gather_nd(answers, tf.stack([piece, offset], 2))
        said = tf.one_hot(self.seam, self._outputs, _SURE, 0.0)
        joined = tf.where(((number > 0) & (offset == 0))[..., tf.newaxis], said, joined)
        mask = tf.sequence_mask(-(-lengths // self.stride), tf.shape(outputs)[0])
        return tf.ensure_shape(
            tf.where(mask[..., tf.newaxis], joined, float("nan")), [None, None, self._outputs]
        )

    def compute_output_spec(self, frames: Any, training: bool = False) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor((frames.shape[0], None, self._outputs), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the layer's own settings; the inner model's layers are described by themselves."""
        return super().get_config() | {"stride": self.stride, "longest": self.longest, "seam": self.seam}


#: Logit of what is said at a cut, beside 0 of everything else.
_SURE = 15.0
#: Outputs over which loudness is averaged before the quietest place is taken.
_SMOOTH = 5


def pieces(frames: Any, lengths: Any, longest: int, stride: int) -> tuple[Any, Any]:
    """Choose where to cut: at the quietest place in the second half of each stretch of the longest length.

    Args:
        frames: decibels [batch, frames, bands], NaN where there is none.
        lengths: int32 [batch].
        longest: frames of a piece, a multiple of the stride.
        stride: frames between two places where a cut may fall.

    Returns:
        Where pieces begin, int32 [batch, pieces], multiples of the stride; and how many there are, [batch].
    """
    quiet = _loudness(frames, lengths, stride)
    size = tf.shape(quiet)[1]
    half, whole = longest // stride // 2, longest // stride
    places = tf.range(size)[tf.newaxis]
    begins = tf.TensorArray(tf.int32, 1, dynamic_size=True, element_shape=[None])

    def left(begin: Any) -> Any:
        return lengths - begin * stride > longest

    def cut(number: Any, begin: Any, begins: Any) -> Any:
        near = (places > begin[:, tf.newaxis] + half) & (places <= begin[:, tf.newaxis] + whole)
        chosen = tf.argmin(tf.where(near, quiet, float("inf")), 1, output_type=tf.int32)
        begin = tf.where(left(begin), chosen, begin)
        return number + 1, begin, begins.write(number, begin)

    start = tf.zeros_like(lengths)
    _, _, begins = tf.while_loop(
        lambda number, begin, begins: tf.reduce_any(left(begin)), cut, (1, start, begins.write(0, start))
    )
    found = tf.transpose(begins.stack())
    # What has been cut to its end repeats its last beginning.
    new = tf.concat([tf.ones_like(found[:, :1], tf.bool), found[:, 1:] != found[:, :-1]], 1)
    return found * stride, tf.reduce_sum(tf.cast(new, tf.int32), 1)


def _loudness(frames: Any, lengths: Any, stride: int) -> Any:
    """Return the mean decibels around each place where a cut may fall, [batch, frames / stride]."""
    there = tf.sequence_mask(lengths, tf.shape(frames)[1])
    means = tf.where(there, tf.reduce_mean(frames, 2), 0.0)
    width = 2 * stride * _SMOOTH
    padded = tf.stack([means, tf.cast(there, tf.float32)], 2)
    padded = tf.pad(padded, [[0, 0], [width // 2, width // 2], [0, 0]])
    # Windows are centred on the boundary before every frame where a cut may fall.
    averages = tf.nn.avg_pool1d(padded, width, stride, "VALID")[:, : -(-tf.shape(frames)[1] // stride)]
    return averages[..., 0] / tf.maximum(averages[..., 1], 1e-6)
