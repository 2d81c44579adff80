"""Maps of several scales, joined from coarse to fine: feature pyramids (Lin et al. 2017)."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import layers

#: Groups of channels that are normalised together, where the channels can be divided so.
GROUPS = 8
#: Maps [batch, h, w, channels] by their stride: how many pixels of the image one place stands for.
Maps = Mapping[int, Any]


def convolved(x: Any, channels: int, kernel: int = 3, stride: int = 1) -> Any:
    """Apply a convolution, group norm and ReLU to maps.

    Group norm (Wu and He 2018) is the same in training and in inference. Statistics of batch norm lag behind
    the maps of a network that is fine-tuned, whose own batch norm stands still.
    """
    x = layers.Conv2D(
        channels,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)
    return activated(x)


def activated(x: Any) -> Any:
    """Apply group norm and ReLU to maps."""
    channels = x.shape[-1]
    groups = next(count for count in (GROUPS, 4, 2, 1) if channels % count == 0)
    return layers.ReLU()(layers.GroupNormalization(groups)(x))


def joined(maps: Maps, channels: int) -> dict[int, Any]:
    """Add to the maps of each stride those of the coarser ones, enlarged.

    Args:
        maps: strides that are each twice the one before.
        channels: of the result.

    Returns:
        Maps [batch, h, w, channels] of the same strides.
    """
    strides = sorted(maps, reverse=True)
    x = convolved(maps[strides[0]], channels, 1)
    result = {strides[0]: convolved(x, channels)}
    for stride in strides[1:]:
        fine = convolved(maps[stride], channels, 1)
        x = layers.UpSampling2D(interpolation="bilinear")(result[2 * stride])
        # An odd number of places is halved rounded up: what is enlarged may be one too large.
        x = layers.Add()([x[:, : fine.shape[1], : fine.shape[2]], fine])
        result[stride] = convolved(x, channels)
    return result


def scratch(pixels: Any, filters: Sequence[int], depth: int) -> dict[int, Any]:
    """Build blocks of convolutions, each at half the size of the one before.

    Args:
        pixels: [batch, h, w, 3].
        filters: maps of each block; the first works at half the image's size.
        depth: convolutions in a block.

    Returns:
        The last maps of each block, by stride.
    """
    x, maps, stride = pixels, {}, 1
    for channels in filters:
        stride *= 2
        x = convolved(x, channels, stride=2)
        for _ in range(depth - 1):
            x = convolved(x, channels)
        maps[stride] = x
    return maps
