"""What turns pixels into a vector: a hub module, a keras.applications network or our own convolutions."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from features.errors import ConfigError, UnavailableError


def known_applications() -> dict[str, Callable]:
    """Map the names of keras.applications networks to their constructors."""
    return {
        name: value
        for name, value in vars(keras.applications).items()
        if callable(value) and name[0].isupper()
    }


@keras.saving.register_keras_serializable("servable")
class ApplicationScaling(keras.Layer):
    """Scale pixels from [0, 1] to what a keras.applications network was trained on.

    Args:
        application: the network's name, as in keras.applications.
    """

    def __init__(self, application: str, **options: Any) -> None:
        super().__init__(**({"trainable": False, "dtype": "float32"} | options))
        self.application = application
        module = sys.modules[known_applications()[application].__module__]
        self.preprocess = module.preprocess_input

    def call(self, inputs: Any) -> Any:
        """Apply the network's own preprocess_input to [0, 255]."""
        return self.preprocess(inputs * 255.0)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Give the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again."""
        return super().get_config() | {"application": self.application}


def application(
    name: str, weights: str | None, shape: tuple[int | None, ...], *, learn_batch_norm: bool = True
) -> keras.Model:
    """Build a keras.applications network up to its pooled features.

    Args:
        name: as in keras.applications, for example MobileNetV2.
        weights: ``imagenet``, the path of a weights file, or None for random ones.
        shape: [h, w, 3] of one image in [0, 1].
        learn_batch_norm: whether training updates batch-norm statistics; else these layers, and dropout
            within the network, always work as in inference.

    Raises:
        ConfigError: no such network, or weights that do not fit it.
        UnavailableError: the ImageNet weights cannot be fetched.
    """
    known = known_applications()
    if name not in known:
        raise ConfigError("no such keras.applications network", got=name, expected=", ".join(sorted(known)))
    if weights not in (None, "imagenet") and not Path(str(weights)).is_file():
        raise ConfigError("no such weights file", got=weights, expected="imagenet, a file or null")
    try:
        network = known[name](include_top=False, weights=weights, input_shape=shape, pooling="avg")
    except (OSError, ValueError) as error:
        raise _refused(name, weights, error) from error
    inputs = keras.Input(shape, name="pixels")
    training = None if learn_batch_norm else False
    vectors = network(ApplicationScaling(name)(inputs), training=training)
    return keras.Model(inputs, vectors, name=f"backbone_{name.lower()}")


def _refused(name: str, weights: str | None, error: Exception) -> Exception:
    if weights == "imagenet" and not isinstance(error, ValueError):
        return UnavailableError(
            f"cannot fetch the ImageNet weights of {name}",
            got=f"{type(error).__name__}: {error}"[:200],
            todo="give a file with --set model.weights=PATH, or --set model.weights=null to start at random",
        )
    return ConfigError(
        f"cannot build {name}", got=str(error)[:300], todo="correct model.weights or featurizer.height"
    )
