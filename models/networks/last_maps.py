"""The last convolutional maps of a network: how they come from features, and logits from them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

#: What gathers maps: the maps before them are the last ones, as Selvaraju et al. (2017) take them.
GATHERING = (
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.AveragePooling2D,
    layers.MaxPooling2D,
)


@dataclass(frozen=True)
class Maps:
    """A network cut in two at its last convolutional maps, both halves in inference mode.

    Attributes:
        before: features [n, ...] to maps [n, height, width, channels].
        after: maps to the network's output [n, d].
    """

    before: Callable[[Any], Any]
    after: Callable[[Any], Any]

    def then(self, head: keras.Model) -> "Maps":
        """Go on from the output through a head."""
        return Maps(self.before, lambda maps: head(self.after(maps), training=False))

    def following(self, earlier: Callable[[Any], Any]) -> "Maps":
        """Put what prepares the features before the first half."""
        return Maps(lambda features: self.before(earlier(features)), self.after)


def of(backbone: Any) -> Maps | None:
    """Find the last convolutional maps of a backbone; None where it has none, or keeps them to itself.

    A backbone that is no Keras model tells of its own: it has a method ``maps``.
    """
    if not isinstance(backbone, keras.Model):
        return backbone.maps() if hasattr(backbone, "maps") else None
    last = backbone.layers[-1]
    if isinstance(last, keras.Model):
        inner = of(last)
        return inner and inner.following(lambda features: _through(backbone.layers[1:-1], features))
    # Additions and the like are operations, not layers; a Sequential has none of them.
    within = getattr(backbone, "operations", backbone.layers)
    convolved = [operation for operation in within if _has_maps(operation)]
    if not convolved:
        return None
    maps = convolved[-1].output
    before, after = keras.Model(backbone.input, maps), keras.Model(maps, backbone.output)
    return Maps(lambda features: before(features, training=False), lambda found: after(found, training=False))


def _has_maps(operation: Any) -> bool:
    return not isinstance(operation, (layers.InputLayer, *GATHERING)) and len(operation.output.shape) == 4


def _through(chain: Any, features: Any) -> Any:
    for layer in chain:
        features = layer(features)
    return features
