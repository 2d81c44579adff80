"""The hub module basic_pitch (Bittner et al. 2022): its front as it is, its network as layers that train.

The front's graph ends with decibels, [172, 309] for a window of 43,844 samples at 22,050 Hz: frames of 256
samples, 36 bins an octave from A0 on. What follows, a normalisation of each window and 16,864 numbers in four
convolutional branches, is built anew as Keras layers and takes the module's weights.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from features.errors import ConfigError
from models.networks.sounds import harmonics
from models.pretrained.hub_modules import load, module_fingerprint, resolve
from models.pretrained.inner_maps import Still

DEFAULT_MODULE = "https://tfhub.dev/spotify/basic_pitch/1"
RATE, WINDOW, HOP = 22_050, 43_844, 256
FRAMES, BINS = 172, 309
#: The node of the module's graph that has the decibels before they are normalised.
_DECIBELS = "normalized_log_1/mul"
#: Layers in the order in which the module lists their variables.
#: Those of the branch that finds contours. Its gradients cost twice as much as all others together.
_CONTOUR = ("levels", "contours", "contours_norm", "contour")
_ORDER = ("levels", "contours", "contours_norm", "contour", "notes", "onsets", "onsets_norm", "note", "onset")


class BasicPitch:
    """The module: what takes samples, and the network with its weights.

    Args:
        handle: logical name, or a folder.
        cache: folder of fetched modules.

    Raises:
        ConfigError: it is another module.
        NoInputError, UnavailableError: it is not there, or cannot be fetched.
    """

    def __init__(self, handle: str, cache: Path) -> None:
        self.handle, self.folder = handle, resolve(handle, cache)
        module = load(self.folder, handle)
        self.front = Front(self._function(module), module_fingerprint(self.folder))
        self.network = network()
        for name in _CONTOUR:
            self.network.get_layer(name).trainable = False
        self._take_weights(list(getattr(module, "variables", ())))

    def _function(self, module: Any) -> Any:
        """Cut the front out of the published graph, its constants within it."""
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        published = dict(getattr(module, "signatures", {})).get("serving_default")
        inputs = [] if published is None else published.inputs[:1]
        if published is None or [list(one.shape) for one in inputs] != [[None, WINDOW, 1]]:
            raise self._other([list(one.shape) for one in inputs])
        frozen = convert_variables_to_constants_v2(published)
        ops = [op for op in frozen.graph.get_operations() if op.name.endswith(_DECIBELS)]
        if [list(op.outputs[0].shape) for op in ops] != [[None, FRAMES, BINS]]:
            raise self._other([op.name for op in ops])
        return frozen.prune(frozen.inputs[:1], ops[0].outputs[:1])

    def _take_weights(self, variables: Sequence[Any]) -> None:
        weights = [weight for name in _ORDER for weight in self.network.get_layer(name).weights]
        shapes = [tuple(variable.shape) for variable in variables]
        if shapes != [tuple(weight.shape) for weight in weights]:
            raise self._other(f"{len(shapes)} variables")
        for weight, variable in zip(weights, variables, strict=True):
            weight.assign(variable.numpy())

    def _other(self, got: object) -> ConfigError:
        return ConfigError(
            f"the module {self.handle} is not basic_pitch",
            got=got,
            expected=f"samples (None, {WINDOW}, 1) to notes, onsets and contours, of 24 variables",
            todo="choose the module basic_pitch of release 0.4.0 in model.backbone",
        )


@keras.saving.register_keras_serializable("servable")
class Front(keras.Layer):
    """The module's constant-Q transform: samples [n, 43844] to decibels [n, 172, 309].

    Args:
        function: from samples [n, 43844, 1].
        fingerprint: of the module.
    """

    def __init__(self, function: Any, fingerprint: str, **options: Any) -> None:
        super().__init__(trainable=False, **({"dtype": "float32"} | options))
        self._function, self.fingerprint = function, fingerprint
        self.built = True

    def call(self, samples: Any) -> Any:
        """Transform windows of samples."""
        (decibels,) = tf.nest.flatten(self._function(samples[..., tf.newaxis]))
        return tf.ensure_shape(decibels, [None, FRAMES, BINS])

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return [n, 172, 309]."""
        return (shape[0], FRAMES, BINS)

    def get_config(self) -> dict[str, Any]:
        """Return the layer's settings; the module is told by its fingerprint."""
        return super().get_config()


def network() -> keras.Model:
    """Build the network with new weights; batch norm works as in inference, also while the rest trains.

    Returns:
        Decibels [n, 172, 309] to a dict: ``onset`` and ``note``, logits [n, 172, 88, 1]; ``onsets`` and
        ``notes``, the maps before them, [n, 172, 88, 32]; ``contour``, probabilities [n, 172, 264, 1].
    """
    same: dict[str, Any] = {"padding": "same"}
    decibels = keras.Input((FRAMES, BINS), name="decibels")
    levels = layers.BatchNormalization(name="levels")(harmonics.Normalized()(decibels))
    stacked = harmonics.Stacked(harmonics.SEMITONE_THIRDS, name="stacked")(levels)
    pitched = layers.Conv2D(8, (3, 39), name="contours", **same)(stacked)
    pitched = layers.ReLU()(layers.BatchNormalization(name="contours_norm")(pitched))
    contour = layers.Conv2D(1, 5, activation="sigmoid", name="contour", **same)(pitched)
    notes = layers.Conv2D(32, 7, strides=(1, 3), activation="relu", name="notes", **same)(contour)
    note = layers.Conv2D(1, (7, 3), name="note", **same)(notes)
    onsets = layers.Conv2D(32, 5, strides=(1, 3), name="onsets", **same)(stacked)
    onsets = layers.ReLU()(layers.BatchNormalization(name="onsets_norm")(onsets))
    both = layers.Concatenate()([layers.Activation("sigmoid")(note), onsets])
    onset = layers.Conv2D(1, 3, name="onset", **same)(both)
    outputs = {"onset": onset, "note": note, "onsets": onsets, "notes": notes, "contour": contour}
    return Still(decibels, outputs, name="basic_pitch")


def as_published(network: keras.Model, decibels: np.ndarray) -> dict[str, np.ndarray]:
    """Answer as the module itself does: probabilities ``onset``, ``note`` and ``contour``, [n, 172, ...]."""
    outputs = network(decibels)
    onset, note = (tf.sigmoid(outputs[name])[..., 0].numpy() for name in ("onset", "note"))
    return {"onset": onset, "note": note, "contour": outputs["contour"][..., 0].numpy()}
