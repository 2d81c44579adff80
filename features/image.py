"""Encoded images to pixels, in the graph: the same code in training, in the SavedModel and in tests.

What comes out for each kind of image:

* JPEG: accurate integer DCT (what Pillow computes); grey becomes three equal channels, CMYK and YCCK
  become RGB as libjpeg does it.
* PNG: palette and 1 to 4 bit grey are expanded, 16 bit is scaled to 8, transparency is composed over
  white.
* GIF, animated PNG and WebP: the first frame.
* The EXIF orientation (JPEG APP1, PNG eXIf, WebP EXIF) is applied: a phone photo and its upright copy
  give the same pixels.
"""

from typing import Any, Literal

import keras
import tensorflow as tf

from features import image_ops
from features.spec import FeatureSpec

Resize = Literal["stretch", "crop", "pad"]

#: Images that declare more pixels than this are refused before they are decoded.
MAX_PIXELS = 50_000_000


@keras.saving.register_keras_serializable("servable")
class ImageFeaturizer(keras.Layer):
    """Decode, turn upright and resize encoded images.

    Args:
        height: of the result, in pixels.
        width: of the result, in pixels.
        resize: ``stretch`` changes the aspect ratio; ``crop`` keeps it and cuts the centre;
            ``pad`` keeps it and fills with black.
        max_pixels: largest declared width times height.
    """

    def __init__(
        self,
        height: int,
        width: int,
        resize: Resize = "stretch",
        max_pixels: int = MAX_PIXELS,
        **options: Any,
    ) -> None:
        super().__init__(trainable=False, dtype="float32", autocast=False, **options)
        self.height, self.width, self.resize, self.max_pixels = height, width, resize, max_pixels
        self._convert_input_args = False
        self.built = True

    @property
    def spec(self) -> FeatureSpec:
        """Shape and dtype of one result: [height, width, 3], float32 in [0, 1]."""
        return FeatureSpec((self.height, self.width, 3), "float32")

    def call(self, images: Any) -> Any:
        """Turn encoded images, string [batch], into pixels, float32 [batch, height, width, 3] in [0, 1].

        Raises:
            tf.errors.InvalidArgumentError: an image cannot be decoded or declares too many pixels.
        """
        pixels = tf.map_fn(
            self._one,
            tf.convert_to_tensor(images),
            fn_output_signature=tf.TensorSpec([self.height, self.width, 3], tf.float32),
            parallel_iterations=16,
        )
        return tf.ensure_shape(pixels, [None, self.height, self.width, 3])

    def _one(self, image: Any) -> Any:
        kind, declared, orientation = image_ops.header(image)
        pixels = decode(image, kind, declared, self.max_pixels)
        # Almost every image is upright already.
        upright = tf.cond(orientation == 1, lambda: pixels, lambda: turn(pixels, orientation))
        return self._resized(tf.cast(upright, tf.float32)) / 255.0

    def _resized(self, pixels: Any) -> Any:
        size = tf.shape(pixels)[:2]
        fits = tf.reduce_all(size == [self.height, self.width])
        result = tf.cond(fits, lambda: pixels, lambda: self._scaled(pixels, size))
        return tf.ensure_shape(result, [self.height, self.width, 3])

    def _scaled(self, pixels: Any, size: Any) -> Any:
        wanted = tf.constant([self.height, self.width])
        if self.resize == "stretch":
            return tf.image.resize(pixels, wanted, antialias=True)
        ratio = tf.cast(wanted, tf.float32) / tf.cast(size, tf.float32)
        factor = tf.reduce_max(ratio) if self.resize == "crop" else tf.reduce_min(ratio)
        inner = tf.maximum(1, tf.cast(tf.round(tf.cast(size, tf.float32) * factor), tf.int32))
        scaled = tf.image.resize(pixels, inner, antialias=True)
        return tf.image.resize_with_crop_or_pad(scaled, self.height, self.width)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Give [batch, height, width, 3]."""
        return (input_shape[0], self.height, self.width, 3)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again."""
        own = {
            "height": self.height,
            "width": self.width,
            "resize": self.resize,
            "max_pixels": self.max_pixels,
        }
        return super().get_config() | own


def decode(image: Any, kind: Any, declared: Any, max_pixels: int = MAX_PIXELS) -> Any:
    """Decode one encoded image to uint8 [h, w, 3] as it is stored.

    Args:
        image: string scalar.
        kind: as image_ops.header gives it.
        declared: width times height, likewise.
        max_pixels: largest declared width times height.
    """
    known = tf.Assert(
        kind >= 0, ["image_bytes holds no JPEG, PNG, GIF, BMP or WebP image"], name="known_format"
    )
    small = tf.Assert(
        declared <= max_pixels, ["the image declares too many pixels:", declared, "allowed:", max_pixels]
    )
    with tf.control_dependencies([known, small]):
        return tf.switch_case(
            tf.maximum(kind, 0),
            [
                lambda: tf.io.decode_jpeg(image, channels=3, dct_method="INTEGER_ACCURATE"),
                lambda: _png(image),
                lambda: tf.io.decode_image(image, channels=3, expand_animations=False),
                lambda: _bmp(image),
                lambda: tf.io.decode_image(image, channels=3, expand_animations=False),
            ],
        )


def _bmp(image: Any) -> Any:
    # decode_bmp gives as many channels as the file has: 1, 3 or 4.
    pixels = tf.io.decode_bmp(image)
    channels = tf.shape(pixels)[-1]
    return tf.cond(channels == 1, lambda: tf.repeat(pixels, 3, axis=-1), lambda: pixels[..., :3])


def _png(image: Any) -> Any:
    return tf.cond(
        image_ops.has_alpha(image),
        lambda: _over_white(tf.io.decode_png(image, channels=4)),
        lambda: tf.io.decode_png(image, channels=3),
    )


def _over_white(pixels: Any) -> Any:
    colour, alpha = tf.cast(pixels[..., :3], tf.int32), tf.cast(pixels[..., 3:], tf.int32)
    # Rounded division by 255; opaque pixels stay exactly as they are.
    composed = (colour * alpha + 255 * (255 - alpha) + 127) // 255
    return tf.cast(composed, tf.uint8)


def turn(pixels: Any, orientation: Any) -> Any:
    """Turn pixels [h, w, c] upright according to an EXIF orientation of 1 to 8 (CIPA DC-008)."""

    def mirrored(value: Any) -> Any:
        return tf.reverse(value, [1])

    def transposed(value: Any) -> Any:
        return tf.transpose(value, [1, 0, 2])

    return tf.switch_case(
        orientation - 1,
        [
            lambda: pixels,
            lambda: mirrored(pixels),
            lambda: tf.reverse(pixels, [0, 1]),
            lambda: tf.reverse(pixels, [0]),
            lambda: transposed(pixels),
            lambda: mirrored(transposed(pixels)),
            lambda: tf.reverse(transposed(pixels), [0, 1]),
            lambda: tf.reverse(transposed(pixels), [0]),
        ],
    )
