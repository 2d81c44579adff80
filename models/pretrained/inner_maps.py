"""Inner maps of a keras.applications network at any input size, with weights from a file or a hub module."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from features.errors import ConfigError
from models.pretrained import hub_modules
from models.pretrained.applications import application

#: The finest and the coarsest maps that are taken, by their stride.
FINEST, COARSEST = 4, 32


@keras.saving.register_keras_serializable("servable")
class Still(keras.Model):
    """A network whose batch norm and dropout work as in inference, also while its weights train."""

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        """Apply the network; a flag fixed where it is called would give way to that of the outer call."""
        return super().call(inputs, training=False, mask=mask)


def inner_maps(
    name: str, weights: str | None, shape: tuple[int, int, int], cache: Path, frozen: int
) -> keras.Model:
    """Build a network from pixels in [0, 1] to the last maps of each stride.

    Batch norm keeps its statistics, for the few examples of a batch are no better.

    Args:
        name: as in keras.applications.
        weights: ``imagenet``, a weights file, the handle or folder of a TF-Hub module of the same network, or
            None for random ones.
        shape: [h, w, 3] of one image.
        cache: folder of fetched modules.
        frozen: layers before the last maps of this stride stay as they are; 0 trains all.

    Returns:
        Pixels [batch, h, w, 3] to a dict of maps by stride, 4 to 32.

    Raises:
        ConfigError: no such network, or a module that is not this network.
        NoInputError, UnavailableError: the weights are not there, or cannot be fetched.
    """
    module = weights is not None and weights != "imagenet" and not Path(weights).is_file()
    backbone = application(name, None if module else weights, shape)
    if module:
        _take_weights(backbone.network, str(weights), cache)
    network = backbone.network
    last = _last_by_stride(network, shape)
    _freeze(network, last.get(frozen))
    inner = Still(network.inputs, [operation.output for operation in last.values()])
    pixels = keras.Input(shape, name="pixels")
    maps = inner(backbone.preprocess(pixels * 255.0))
    return keras.Model(pixels, dict(zip(map(str, last), maps, strict=True)), name=f"maps_{name.lower()}")


def _take_weights(network: keras.Model, handle: str, cache: Path) -> None:
    """Copy the variables of a hub module into a network of the same architecture."""
    module = tf.saved_model.load(str(hub_modules.resolve(handle, cache)))
    variables, weights = list(getattr(module, "variables", ())), network.weights
    variable_specs, weight_specs = (
        [(_layer(name), tuple(one.shape)) for name, one in named]
        for named in (
            [(variable.name, variable) for variable in variables],
            [(weight.path, weight) for weight in weights],
        )
    )
    if variable_specs != weight_specs:
        raise ConfigError(
            f"the weights of {handle} are not those of this network",
            got=f"{len(variable_specs)} variables",
            expected=f"the {len(weight_specs)} variables of {network.name}, in the order of its layers",
            todo="set model.weights to imagenet, a weights file, or a module of the same network",
        )
    for weight, variable in zip(weights, variables, strict=True):
        weight.assign(variable.numpy())


def _layer(name: str) -> str:
    """Return the layer that a variable's name begins with."""
    return name.split("/")[-2]


def _last_by_stride(network: keras.Model, shape: tuple[int, int, int]) -> dict[int, Any]:
    """Find the operation that gives the last maps of each stride; odd sizes are halved rounded up."""
    last: dict[int, Any] = {}
    stride = 1
    sizes = {}
    while stride <= COARSEST:
        sizes[-(-shape[0] // stride), -(-shape[1] // stride)] = stride
        stride *= 2
    for operation in network.operations:
        output = operation.output
        if len(output.shape) == 4 and (stride := sizes.get(tuple(output.shape[1:3]), 0)) >= FINEST:
            last[stride] = operation
    return dict(sorted(last.items()))


def _freeze(network: keras.Model, last: Any) -> None:
    if last is None:
        return
    for layer in network.layers:
        layer.trainable = False
        if layer is last:
            return
