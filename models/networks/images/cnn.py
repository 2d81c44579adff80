"""A plain stack of convolutions, trained from scratch."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import layers
from pydantic import Field

from features.settings import Settings


def convolutions(
    shape: tuple[int | None, ...],
    *,
    filters: Sequence[int],
    depth: int,
    kernel: int,
    dense: Sequence[int],
    dropout: float,
    weight_decay: float = 0.0,
    pooling: str = "all",
    stride: int = 1,
) -> keras.Model:
    """Build blocks of convolution, batch-norm and ReLU with max-pooling between, then dense layers.

    Args:
        shape: [h, w, channels] of one input.
        filters: feature maps of each block; each block halves height and width.
        depth: convolutions in a block.
        kernel: height and width of a kernel.
        dense: units of the dense layers after global average pooling.
        dropout: share of activations dropped after each block and dense layer.
        weight_decay: factor of the L2 penalty on kernels.
        pooling: ``all`` averages each map over height and width; ``height`` over the height alone, so
            that it stays known where along the width something was; ``height-peaks`` puts the largest value
            over the height beside that average; ``none`` keeps every place.
        stride: of the first convolution, in both directions.

    Returns:
        A model from [batch, h, w, channels] to the vector before the head, [batch, d].
    """
    penalty = keras.regularizers.L2(weight_decay) if weight_decay else None
    inputs = x = keras.Input(shape, name="pixels")
    for number, maps in enumerate(filters):
        for place in range(depth):
            x = _unit(x, maps, kernel, penalty, stride if number == place == 0 else 1)
        if number < len(filters) - 1:
            x = layers.MaxPooling2D(padding="same")(x)
        x = layers.Dropout(dropout)(x) if dropout else x
    x = POOLINGS[pooling](x)
    x = layers.Dropout(dropout)(x) if dropout and pooling != "all" else x
    for units in dense:
        x = layers.Dense(units, activation="relu", kernel_regularizer=penalty)(x)
        x = layers.Dropout(dropout)(x) if dropout else x
    return keras.Model(inputs, x, name="convolutions")


#: From maps [batch, h, w, channels] to vectors.
POOLINGS: dict[str, Callable[[Any], Any]] = {
    "all": lambda x: layers.GlobalAveragePooling2D()(x),
    "height": lambda x: layers.Flatten()(layers.AveragePooling2D((x.shape[1], 1))(x)),
    "height-peaks": lambda x: layers.Concatenate()(
        [
            layers.Flatten()(gather((x.shape[1], 1))(x))
            for gather in (layers.AveragePooling2D, layers.MaxPooling2D)
        ]
    ),
    "none": lambda x: layers.Flatten()(x),
}


def _unit(x: Any, maps: int, kernel: int, penalty: Any, stride: int) -> Any:
    x = layers.Conv2D(
        maps,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        kernel_regularizer=penalty,
    )(x)
    # Keras's 0.99 is for runs of many thousand steps: in short ones the averages lag behind the weights.
    x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.ReLU()(x)


def head(
    width: int,
    outputs: int,
    *,
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
    max_norm: float | None = None,
    standard: tuple[np.ndarray, np.ndarray] | None = None,
) -> keras.Model:
    """Build what turns a vector [batch, width] into outputs [batch, outputs], such as logits.

    ``max_norm`` is the largest L2 norm of an output's weights, kept after every step; None for no limit.
    ``standard`` is the mean and deviation [outputs] that standardised outputs are brought to.
    """
    inputs = x = keras.Input((width,), name="embedding")
    for units in hidden:
        x = layers.Dense(units, activation="relu")(x)
    x = layers.Dropout(dropout)(x) if dropout else x
    limit = keras.constraints.MaxNorm(max_norm, axis=0) if max_norm else None
    x = layers.Dense(outputs, kernel_constraint=limit, name="logits")(x)
    if standard is not None:
        mean, deviation = standard
        x = layers.Normalization(mean=mean, variance=deviation**2, invert=True, name="units")(x)
    return keras.Model(inputs, x, name="head")


def first_kernels(model: keras.Model) -> Any | None:
    """Return the first convolution's kernels [height, width, channels, maps], or None without one."""
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            return layer.kernel.numpy()
        within = getattr(layer, "inner", layer)
        if isinstance(within, keras.Model) and (inner := first_kernels(within)) is not None:
            return inner
    return None


class CnnSettings(Settings):
    """A plain stack of convolutions, trained from scratch."""

    kind: Literal["cnn"] = Field(description="convolutions from scratch")
    filters: tuple[int, ...] = Field(
        (32, 64, 128),
        min_length=1,
        description="feature maps of each block; each block halves height and width",
    )
    depth: int = Field(2, ge=1, le=8, description="convolutions per block")
    kernel: int = Field(3, ge=1, le=11, description="kernel size in pixels")
    pooling: Literal["all", "none"] = Field(
        "all", description="all: average each feature map over the image; none: keep positions"
    )
    dense: tuple[int, ...] = Field((), description="units of dense layers after the pooling")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout rate after each block")
    weight_decay: float = Field(0.0, ge=0, description="factor of the L2 penalty on kernels")
    mirrored: bool = Field(
        False, description="whether to average the predictions for an image and its mirror image"
    )
