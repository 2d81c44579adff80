"""What the layers of a convolutional network make of one example: their activation maps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from features.errors import UsageError
from models.networks.windows import EachWindow
from models.pretrained.applications import ApplicationBackbone

if TYPE_CHECKING:
    from models.network import Network

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D)
#: Layers that change nothing in an answer.
_PASSING = (layers.InputLayer, layers.Dropout)


@dataclass(frozen=True)
class MapLayer:
    """A layer that gives maps.

    Attributes:
        number: from 1, in the order of the network.
        name: its own.
        kind: of layer, as Keras calls it.
        size: height, width and number of its maps.
    """

    number: int
    name: str
    kind: str
    size: tuple[int, int, int]


@dataclass(frozen=True)
class Activations:
    """The maps of one layer for one example.

    Attributes:
        layer: which.
        seen: what the network was given: float [h, w, 3] pixels in [0, 1], or [frames, bands] of a sound's
            first window.
        maps: float [h, w, maps].
    """

    layer: MapLayer
    seen: np.ndarray
    maps: np.ndarray


def map_layers(network: "Network") -> list[MapLayer]:
    """List the layers that give maps.

    Raises:
        UsageError: the network has no convolutions that can be looked into, as that of a TF-Hub module.
    """
    model, _ = _convolutional(network)
    convolutions = [layer for layer in model.layers if _gives_maps(layer)]
    return [
        MapLayer(number, layer.name, type(layer).__name__, (int(height), int(width), int(maps)))
        for number, layer in enumerate(convolutions, start=1)
        for _, height, width, maps in [layer.output.shape]
    ]


def choose(known: Sequence[MapLayer], wanted: str | None) -> MapLayer:
    """Find a layer by its number or name; None takes the first that cuts off, or else the first.

    Raises:
        UsageError: there is none of this number or name.
    """
    if wanted is None:
        return next((layer for layer in known if layer.kind in ("ReLU", "Activation")), known[0])
    for layer in known:
        if wanted in (str(layer.number), layer.name):
            return layer
    raise UsageError(
        "the network has no such layer",
        got=wanted,
        expected=f"a number from 1 to {len(known)}, or a name such as {known[0].name}",
        todo="leave out the file to list the layers",
    )


def activations(network: "Network", raw: bytes, wanted: str | None = None) -> Activations:
    """Return the activation maps of a layer for one raw example.

    Args:
        network: trained.
        raw: the example.
        wanted: number or name of the layer, as of `choose`.

    Raises:
        UsageError: as of `map_layers` and `choose`.
    """
    layer = choose(map_layers(network), wanted)
    model, prepare = _convolutional(network)
    features = network.featurizer(tf.constant([raw]))
    part = keras.Model(model.inputs, model.get_layer(layer.name).output)
    maps = part(prepare(features), training=False)[0].numpy()
    network_input = features[0].numpy()
    return Activations(layer, network_input if network_input.shape[-1] == 3 else network_input[0], maps)


def _gives_maps(layer: keras.Layer) -> bool:
    return not isinstance(layer, _PASSING) and len(layer.output.shape) == 4


def _convolutional(network: "Network") -> tuple[keras.Model, Callable[[Any], Any]]:
    """Find the model that has the convolutions, and what makes its input of the network's features."""
    match = next(_search(network.model), None)
    if match is None:
        raise UsageError(
            "the activations of this network cannot be shown",
            expected="a convolutional network: cnn, or one of keras.applications",
            todo="train with a recipe such as cnn or keras: the layers of a TF-Hub module are not accessible",
        )
    model, steps = match

    def prepare(features: Any) -> Any:
        for step in steps:
            features = step(features)
        return features

    return model, prepare


def _search(
    model: keras.Model, before: tuple[Callable[[Any], Any], ...] = ()
) -> Iterator[tuple[keras.Model, tuple[Callable[[Any], Any], ...]]]:
    """Look into a model, and into those within it, whose own layers follow one another in a chain."""
    if any(isinstance(layer, _CONVOLUTIONS) for layer in model.layers):
        yield model, before
        return
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _search(layer, before)
        elif isinstance(layer, ApplicationBackbone):
            yield from _search(layer.network, (*before, layer.prepared))
        elif isinstance(layer, EachWindow) and isinstance(layer.inner, keras.Model):
            yield from _search(layer.inner, (*before, _first_window))
        if not isinstance(layer, layers.InputLayer):
            before = (*before, layer)


def _first_window(windows: Any) -> Any:
    return windows[:, 0]
