"""The last convolutional maps of a network: how they come from features, and logits from them."""

from typing import Any

import keras
from keras import layers

from models.network import Maps

#: What gathers maps: the maps before them are the last ones, as Selvaraju et al. (2017) take them.
GATHERING = (
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.AveragePooling2D,
    layers.MaxPooling2D,
)


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
