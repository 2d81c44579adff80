"""Encoded images to pixels, in the graph: the same code in training, in the SavedModel and in tests.

docs/featurizers.md describes the result for each format, colour space, orientation and size.
"""

import hashlib
import json
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from pydantic import Field

from features.images import placement
from features.images.decoding import map_upright
from features.settings import Settings
from features.spec import FeatureSpec

Resize = Literal["stretch", "crop", "pad"]

#: Images that declare more pixels than this are refused before they are decoded.
MAX_PIXELS = 50_000_000


@keras.saving.register_keras_serializable("servable")
class ImageFeaturizer(keras.Layer):
    """Decode, turn upright and resize encoded images.

    JPEG, PNG, GIF, BMP and WebP in their plain forms (see features.images.decoding). The same code runs
    eagerly, in a tf.data pipeline and in a SavedModel, made of ops that TensorFlow Serving has; answers are
    equal to the bit.

    Args:
        height: of the result, in pixels.
        width: of the result, in pixels.
        resize: ``stretch`` changes the aspect ratio; ``crop`` keeps it and cuts the centre out;
            ``pad`` keeps it and adds black. All are antialiased (triangle filter), and leave an image
            that already fits untouched.
        channels: 3 for RGB, 1 for luma (ITU-R BT.601).
        max_pixels: largest width times height that is decoded.
    """

    #: Increase it whenever the same configuration produces other values: caches then compute them again.
    revision = 2

    def __init__(
        self,
        height: int,
        width: int,
        resize: Resize = "stretch",
        channels: int = 3,
        max_pixels: int = MAX_PIXELS,
        **options: Any,
    ) -> None:
        options = {"trainable": False, "dtype": "float32"} | options
        super().__init__(autocast=False, **options)
        if resize not in _RESIZERS or channels not in (1, 3) or min(height, width, max_pixels) < 1:
            raise ValueError(
                f"ImageFeaturizer takes a positive size, resize in {sorted(_RESIZERS)} and 1 or 3 channels; "
                f"got {height} x {width}, resize={resize!r}, channels={channels}, max_pixels={max_pixels}"
            )
        self.height, self.width, self.resize = height, width, resize
        self.channels, self.max_pixels = channels, max_pixels
        self._convert_input_args = False
        self._graph = tf.function(
            self._featurize, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
        )
        self.built = True

    @property
    def spec(self) -> FeatureSpec:
        """Shape and dtype of one result: [height, width, channels], float32 in [0, 1]."""
        return FeatureSpec((self.height, self.width, self.channels), "float32")

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the result: 16 hexadecimal digits."""
        decisive = [type(self).__name__, self.revision, self.height, self.width, self.resize]
        decisive += [self.channels, self.max_pixels]
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]

    def call(self, images: Any) -> Any:
        """Turn encoded images, string [batch], into pixels, float32 [batch, height, width, channels].

        Raises:
            tf.errors.InvalidArgumentError: an image cannot be decoded or declares too many pixels.
        """
        return self._graph(images)

    def located(self, images: Any) -> tuple[Any, Any]:
        """Turn encoded images, string [batch], into pixels, and say how large they are.

        Returns:
            What `call` returns, and the width and height of each image as displayed, int32 [batch, 2].
        """
        pixels = tf.TensorSpec(self.spec.shape, tf.float32)
        both = (pixels, tf.TensorSpec([2], tf.int32))
        return map_upright(
            images, lambda image: (self._fit(image), tf.shape(image)[1::-1]), both, self.max_pixels
        )

    def placed(self, points: Any, sizes: Any) -> Any:
        """Move points of the images to where they lie in the result.

        Args:
            points: x and y as shares of width and height, [batch, n, 2].
            sizes: width and height of each image as displayed, [batch, 2].
        """
        return placement.placed(self.resize, points, sizes, self.height, self.width)

    def restored(self, points: Any, sizes: Any) -> Any:
        """Move points of the result to where they lie in the images: the inverse of `placed`, in pixels.

        Args:
            points: x and y as shares of the result's width and height, [batch, n, 2].
            sizes: width and height of each image as displayed, [batch, 2].

        Returns:
            x and y in pixels from the top left corner of the image as displayed, [batch, n, 2].
        """
        return placement.restored(self.resize, points, sizes, self.height, self.width)

    def compute_output_spec(self, images: Any) -> keras.KerasTensor:
        """Return the shape and dtype of the output."""
        return keras.KerasTensor(self.compute_output_shape(images.shape), dtype="float32")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return [batch, height, width, channels]."""
        return (input_shape[0], *self.spec.shape)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the layer."""
        own = ("height", "width", "resize", "channels", "max_pixels")
        return super().get_config() | {name: getattr(self, name) for name in own}

    def _featurize(self, images: Any) -> Any:
        return map_upright(images, self._fit, tf.TensorSpec(self.spec.shape, tf.float32), self.max_pixels)

    def _fit(self, pixels: Any) -> Any:
        """Bring pixels, uint8 [h, w, 3], to the requested size and to [0, 1]."""
        resized = _RESIZERS[self.resize](pixels, np.array([self.height, self.width]))
        # A multiplication: graph rewriting turns divisions into it, eager execution does not.
        scaled = tf.ensure_shape(tf.minimum(resized * (1 / 255), 1.0), (self.height, self.width, 3))
        return scaled if self.channels == 3 else tf.image.rgb_to_grayscale(scaled)


def _stretch(pixels: Any, result: Any) -> Any:
    return tf.image.resize(pixels, result, antialias=True)


def _crop(pixels: Any, result: np.ndarray) -> Any:
    """Cut out the largest centred part of the requested aspect ratio, then stretch it."""
    corner, inner = placement.centred_part(_size(pixels), result)
    return _stretch(tf.strided_slice(pixels, corner, corner + inner, [1, 1]), result)


def _pad(pixels: Any, result: np.ndarray) -> Any:
    """Stretch to the largest size of the same aspect ratio that fits, then add black around it."""
    corner, inner = placement.centred_part(result, _size(pixels))
    margins = tf.stack([corner, result - inner - corner], axis=1)
    return tf.pad(_stretch(pixels, tf.cast(inner, tf.int32)), tf.pad(margins, [[0, 1], [0, 0]]))


def _size(pixels: Any) -> Any:
    """Return height and width, int64 [2]."""
    return tf.shape(pixels, tf.int64)[:2]


_RESIZERS = {"stretch": _stretch, "crop": _crop, "pad": _pad}


class ImageFeaturizerSettings(Settings):
    """Size in pixels that images are brought to, and how; None takes what the backbone wants."""

    height: int | None = Field(
        None, ge=8, le=2048, description="pixels; null for the input size of the backbone"
    )
    width: int | None = Field(
        None, ge=8, le=2048, description="pixels; null for the input size of the backbone"
    )
    resize: Literal["stretch", "crop", "pad"] = Field(
        "stretch", description="how the aspect ratio is handled"
    )


def image_featurizer(settings: ImageFeaturizerSettings, shape: tuple[int | None, ...]) -> ImageFeaturizer:
    """Make the featurizer of the given size, or of a backbone's shape [h, w, 3]; 224 if that is free."""
    height, width = shape[0] or 224, shape[1] or 224
    return ImageFeaturizer(settings.height or height, settings.width or width, resize=settings.resize)
