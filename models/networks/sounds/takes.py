"""Takes longer than what a network sees at once: it sees them by windows that overlap, and is heard once.

A window that a take lacks is NaN (see features.sounds.featurizer), and so is all that is said of it.
"""

from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from models.networks.assembly import Stage
from models.networks.sounds.chunks import by_chunks
from models.networks.windows import present

#: Windows that are worked on together where nothing is learnt: they decide the memory.
AT_ONCE = 8


@keras.saving.register_keras_serializable("servable")
class WindowMaps(keras.Layer):
    """Apply a model to each window: [batch, windows, ...] to [batch, windows, frames, ...].

    Args:
        inner: layer or model from [n, ...] to [n, frames, ...], of known shape.
        shape: of the output of one window; None asks the inner model.
    """

    def __init__(self, inner: Any, shape: tuple[int, ...] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.inner = inner
        self._shape = tuple(shape or inner.output_shape[1:])
        self.built = True

    def call(self, windows: Any, training: bool = False) -> Any:
        """Apply the inner model to the windows that are there."""
        places = tf.where(present(windows))
        there = tf.gather_nd(windows, places)
        if training:
            answers = self.inner(there, training=True)
        else:
            spec = tf.TensorSpec([None, *self._shape], tf.float32)
            (answers,) = by_chunks(lambda some: [self.inner(some, training=False)], [there], AT_ONCE, [spec])
        size = tf.concat([tf.shape(windows)[:2], self._shape], 0)
        # What is not there is NaN: the scattered ones say what is.
        spread = tf.tensor_scatter_nd_update(tf.fill(size, float("nan")), places, answers)
        return tf.ensure_shape(spread, [None, None, *self._shape])

    def compute_output_spec(self, windows: Any, training: bool = False) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor((*windows.shape[:2], *self._shape), "float32")

    @property
    def fingerprint(self) -> str:
        """Describe what is computed, where the inner layer says what that is."""
        return f"{type(self).__name__} {getattr(self.inner, 'fingerprint', '')}"

    def get_config(self) -> dict[str, Any]:
        """Return the layer's own settings; the inner model's layers are described by themselves."""
        return super().get_config()


@keras.saving.register_keras_serializable("servable")
class Joined(keras.Layer):
    """Join what overlapping windows say; each frame is taken from the window in which it is most central.

    Args:
        hop: frames from the beginning of one window to that of the next.
    """

    def __init__(self, hop: int, **options: Any) -> None:
        super().__init__(**options)
        self.hop = hop

    def call(self, answers: Any) -> Any:
        """Turn [batch, windows, frames, ...] into [batch, time, ...]; NaN where a take has no window."""
        shape = tf.shape(answers)
        frames, rest = answers.shape[2], answers.shape[3:]
        counts = tf.reduce_sum(tf.cast(present(answers), tf.int32), 1)
        time = tf.range(self.hop * (shape[1] - 1) + frames)[tf.newaxis]
        last = tf.maximum(counts - 1, 0)[:, tf.newaxis]
        window = tf.minimum(tf.maximum((time - (frames - self.hop) // 2) // self.hop, 0), last)
        local = time - window * self.hop
        flat = tf.reshape(answers, tf.concat([[shape[0], shape[1] * frames], rest], 0))
        joined = tf.gather(flat, window * frames + tf.minimum(local, frames - 1), axis=1, batch_dims=1)
        inside = tf.reshape(local < frames, tf.concat([tf.shape(local), [1] * len(rest)], 0))
        return tf.ensure_shape(tf.where(inside, joined, float("nan")), [None, None, *rest])

    def compute_output_spec(self, answers: Any) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor((answers.shape[0], None, *answers.shape[3:]), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the layer's settings."""
        return super().get_config() | {"hop": self.hop}


@dataclass(frozen=True)
class Listener:
    """What hears one window.

    Attributes:
        featurizer: sounds [batch] to windows [batch, windows, ...].
        front: layer from windows to what is cached; None where windows are.
        body: what is cached to outputs [n, frames, ...].
        hop: frames from window to window.
        step: seconds from frame to frame.
        bins_per_key: of what is cached; 0 where bins are not so spaced.
    """

    featurizer: Any
    front: keras.Layer | None
    body: keras.Model
    hop: int
    step: float
    bins_per_key: int


@dataclass(frozen=True)
class Parts:
    """A network of takes: what is cached, from there to outputs, and the whole from features to outputs."""

    stage: Stage
    leg: keras.Model
    whole: keras.Model


def joined(listener: Listener, last: keras.Layer) -> Parts:
    """Make a network of takes from what hears one window, and a layer that what it says goes through."""
    join, windows = Joined(listener.hop), keras.Input(listener.featurizer.spec.shape, name="features")
    heard = listener.body.input_shape[1:]
    cached = windows if listener.front is None else keras.Input((None, *heard), name="cached")
    leg = keras.Model(cached, last(join(WindowMaps(listener.body)(cached))))
    if listener.front is None:
        return Parts(Stage(listener.featurizer), leg, leg)
    front = WindowMaps(listener.front, heard, trainable=False)
    window = keras.Input(listener.featurizer.spec.shape[1:], name="window")
    one = keras.Model(window, listener.body(listener.front(window)), name="window_listener")
    whole = keras.Model(windows, last(join(WindowMaps(one)(windows))))
    return Parts(Stage(listener.featurizer, front), leg, whole)
