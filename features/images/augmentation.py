"""Random changes of images while training: stateless, after the cache, never exported."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from pydantic import BaseModel, ConfigDict, Field

from features.errors import ConfigError


class AugmentationSettings(BaseModel):
    """The ``augmentation`` section of a recipe; every change is off by default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flip: Literal["none", "horizontal", "vertical", "both"] = Field(
        "none", description="direction in which half of the images are mirrored"
    )
    rotation: float = Field(0.0, ge=0, le=0.5, description="largest angle in either direction, in turns")
    zoom: float = Field(0.0, ge=0, lt=1, description="largest relative change of size, up or down")
    translation: float = Field(
        0.0, ge=0, lt=1, description="largest shift in either direction, in side lengths"
    )
    contrast: float = Field(0.0, ge=0, lt=1, description="largest relative change of contrast, up or down")
    brightness: float = Field(0.0, ge=0, lt=1, description="largest change of brightness, up or down")


class ImageAugmentation:
    """Change images as the settings say, each by its own seed.

    Args:
        settings: what may change and how much.
    """

    #: What lies beyond an image's edge. Where targets have places, it must not be the mirror image: objects
    #: in it would have no target.
    beyond = "REFLECT"

    def __init__(self, settings: AugmentationSettings) -> None:
        self.settings = settings
        self._changed = tf.function(self._change, reduce_retracing=True, autograph=False)

    @property
    def active(self) -> bool:
        """Whether anything may change at all."""
        return self.settings != type(self.settings)()

    def __call__(self, images: Any, targets: Any, seeds: Any) -> tuple[Any, Any]:
        """Change a batch.

        Args:
            images: float32 [batch, height, width, channels] in [0, 1].
            targets: of the images [batch, ...]; classes stay as they are.
            seeds: int32 [batch, 2], one pair per image.

        Returns:
            The images, same shape and range, and their targets; equal for equal images and seeds.
        """
        return self._changed(images, targets, seeds) if self.active else (images, targets)

    def _change(self, images: Any, targets: Any, seeds: Any) -> tuple[Any, Any]:
        draws = tf.map_fn(
            lambda seed: tf.random.stateless_uniform([8], seed),
            seeds,
            fn_output_signature=tf.TensorSpec([8], tf.float32),
        )
        size = tf.cast(tf.shape(images)[1:3], tf.float32)
        transforms = self._transforms(draws, size)
        images = self._shade(self._move(images, transforms), draws)
        return images, self._follow(targets, draws, transforms, size)

    def _follow(self, targets: Any, draws: Any, transforms: Any, size: Any) -> Any:
        """Change the targets as their images, of a height and width, were moved; classes stay."""
        return targets

    def _mirrored(self, draws: Any) -> Any:
        """Return which images are mirrored left to right: bool [batch]."""
        return (draws[:, 2] < 0.5) & (self.settings.flip in ("horizontal", "both"))

    def _upended(self, draws: Any) -> Any:
        """Return which images are mirrored top to bottom: bool [batch]."""
        return (draws[:, 3] < 0.5) & (self.settings.flip in ("vertical", "both"))

    def _shift(self, draws: Any) -> Any:
        """Return how far to the right pixels are looked up, in widths: float32 [batch]."""
        return _spread(draws[:, 4]) * self.settings.translation

    @property
    def _moves(self) -> bool:
        s = self.settings
        return s.flip != "none" or bool(s.rotation or s.zoom or s.translation)

    def _transforms(self, draws: Any, size: Any) -> Any:
        """Draw the affine maps from changed to original pixels, of images of a height and width.

        Returns:
            float32 [batch, 8]: x = a u + b v + e, y = c u + d v + f as (a, b, e, c, d, f, 0, 0), between the
            centres of pixels.
        """
        s, (height, width) = self.settings, (size[0], size[1])
        # In double precision: single-precision kernels round the last few of a batch otherwise than the rest
        # (some processors' reciprocal of 1 is not 1), and an image must not depend on its place in the batch.
        turn = tf.cast(_spread(draws[:, 0]) * s.rotation * 2 * 3.141592653589793, tf.float64)
        cosine, sine = tf.cast(tf.cos(turn), tf.float32), tf.cast(tf.sin(turn), tf.float32)
        scale = tf.cast(1.0 / (1.0 + tf.cast(_spread(draws[:, 1]) * s.zoom, tf.float64)), tf.float32)
        across = tf.where(self._mirrored(draws), -1.0, 1.0)
        down = tf.where(self._upended(draws), -1.0, 1.0)
        # Output to input coordinates about the image's centre: x = a u + b v, y = c u + d v.
        a, b = across * scale * cosine, -scale * sine
        c, d = scale * sine, down * scale * cosine
        if not s.rotation:
            b, c = tf.zeros_like(b), tf.zeros_like(c)
        x0, y0 = (width - 1) / 2, (height - 1) / 2
        # Whole pixels: a flip or shift alone then moves pixels and blurs none.
        right = tf.round(self._shift(draws) * width)
        low = tf.round(_spread(draws[:, 5]) * s.translation * height)
        zero = tf.zeros_like(a)
        return tf.stack(
            [a, b, x0 - a * x0 - b * y0 + right, c, d, y0 - c * x0 - d * y0 + low, zero, zero], axis=1
        )

    def _move(self, images: Any, transforms: Any) -> Any:
        """Flip, turn, zoom and shift in one bilinear resampling."""
        if not self._moves:
            return images
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=transforms,
            output_shape=tf.shape(images)[1:3],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode=self.beyond,
        )

    def _shade(self, images: Any, draws: Any) -> Any:
        s = self.settings
        if s.contrast:
            factor = 1.0 + _spread(draws[:, 6])[:, None, None, None] * s.contrast
            mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
            images = (images - mean) * factor + mean
        if s.brightness:
            images += _spread(draws[:, 7])[:, None, None, None] * s.brightness
        return tf.clip_by_value(images, 0.0, 1.0)


class NumberAugmentationSettings(AugmentationSettings):
    """The ``augmentation`` section where numbers follow the changes of their images."""

    negated: tuple[str, ...] = Field(
        (), description="numbers that change sign if the image is mirrored left to right, such as angles"
    )
    shifted: dict[str, float] = Field(
        default_factory=dict,
        description="number: change if the image is shifted to the right by its full width",
    )


class NumberAugmentation(ImageAugmentation):
    """Change images, and the numbers that they are to be answered with.

    Args:
        settings: what may change and how much.
        names: of the numbers, in their order.

    Raises:
        ConfigError: the settings name a number that is not there.
    """

    def __init__(self, settings: NumberAugmentationSettings, names: Sequence[str]) -> None:
        super().__init__(settings)
        if unknown := sorted({*settings.negated, *settings.shifted} - set(names)):
            raise ConfigError(
                "augmentation.negated or augmentation.shifted names an unknown target",
                got=", ".join(map(repr, unknown)),
                expected=f"some of {', '.join(map(repr, names))}",
            )
        self._negated = np.array([name in settings.negated for name in names])
        self._slopes = np.array([settings.shifted.get(name, 0.0) for name in names], np.float32)

    @property
    def active(self) -> bool:
        """Whether anything may change at all; how numbers follow changes none."""
        following: dict[str, Any] = {"negated": (), "shifted": {}}
        return self.settings.model_copy(update=following) != type(self.settings)()

    def _follow(self, targets: Any, draws: Any, transforms: Any, size: Any) -> Any:
        mirrored = self._mirrored(draws)[:, tf.newaxis]
        # Pixels are looked up this far to the right: the image moves to the left; in a mirror, to the right.
        shift = self._shift(draws)[:, tf.newaxis]
        turned = tf.where(mirrored & self._negated, -targets, targets)
        return turned + tf.where(mirrored, shift, -shift) * self._slopes


class PointAugmentationSettings(AugmentationSettings):
    """The ``augmentation`` section where points move with their images."""

    pairs: tuple[tuple[str, str], ...] = Field(
        (),
        description="points that change places if the image is mirrored, as [left, right]; none: found by "
        "names such as left_eye and right_eye. Without pairs no image is mirrored",
    )


class PointAugmentation(ImageAugmentation):
    """Change images, and move points with them; points that leave the image count as missing.

    What comes in from beyond an edge is black.

    Args:
        settings: what may change and how much.
        partners: for each point the position of the one it becomes in a mirror image; None mirrors none.
    """

    beyond = "CONSTANT"

    def __init__(self, settings: PointAugmentationSettings, partners: Sequence[int] | None) -> None:
        # Mirrored top to bottom, left and right change places as well.
        super().__init__(settings if partners else settings.model_copy(update={"flip": "none"}))
        self._partners = None if partners is None else np.array(partners)

    def _follow(self, targets: Any, draws: Any, transforms: Any, size: Any) -> Any:
        """Move targets [batch, points, 3]: x and y as shares of width and height, and 1 where annotated."""
        moved = follow(targets[..., :2], transforms, size)
        if self._partners is not None:
            swapped = tf.gather(moved, self._partners, axis=1), tf.gather(targets, self._partners, axis=1)
            odd = (self._mirrored(draws) != self._upended(draws))[:, tf.newaxis, tf.newaxis]
            moved, targets = tf.where(odd, swapped[0], moved), tf.where(odd, swapped[1], targets)
        inside = tf.reduce_all((moved >= 0) & (moved <= 1), axis=2, keepdims=True)
        labelled = targets[..., 2:] * tf.cast(inside, targets.dtype)
        return tf.concat([moved * labelled, labelled], axis=2)


class BoxAugmentationSettings(AugmentationSettings):
    """The ``augmentation`` section where boxes move with their images."""

    mosaic: float = Field(
        0.0, ge=0, le=1, description="share of images that are put together of four, each at half its size"
    )
    visible: float = Field(
        0.3, ge=0, le=1, description="boxes of which less than this share is left in the image are left out"
    )


class BoxAugmentation(ImageAugmentation):
    """Change images, and move boxes with them; what comes in from beyond an edge is black.

    A turned box becomes the smallest upright one around it.

    Args:
        settings: what may change and how much.
    """

    settings: BoxAugmentationSettings
    beyond = "CONSTANT"

    def _change(self, images: Any, targets: Any, seeds: Any) -> tuple[Any, Any]:
        images, targets = super()._change(images, targets, seeds)
        if not self.settings.mosaic:
            return images, targets
        draws = tf.map_fn(
            lambda seed: tf.random.stateless_uniform([], seed + 1),
            seeds,
            fn_output_signature=tf.TensorSpec([], tf.float32),
        )
        return mosaic(images, targets, draws < self.settings.mosaic)

    def _follow(self, targets: Any, draws: Any, transforms: Any, size: Any) -> Any:
        """Move targets [batch, boxes, 5]: corners as shares of width and height, and the class or -1."""
        x1, y1, x2, y2 = tf.unstack(targets[..., :4], axis=2)
        corners = tf.stack([x1, y1, x2, y1, x2, y2, x1, y2], axis=2)
        shape = tf.shape(corners)
        moved = follow(tf.reshape(corners, [shape[0], -1, 2]), transforms, size)
        moved = tf.reshape(moved, [shape[0], shape[1], 4, 2])
        whole = tf.concat([tf.reduce_min(moved, axis=2), tf.reduce_max(moved, axis=2)], axis=2)
        inside = tf.clip_by_value(whole, 0.0, 1.0)
        left = (_area(inside) > self.settings.visible * _area(whole)) & (targets[..., 4] >= 0)
        boxes = tf.concat([inside, targets[..., 4:]], axis=2)
        return tf.where(left[..., tf.newaxis], boxes, -1.0)


def _area(boxes: Any) -> Any:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def mosaic(images: Any, targets: Any, chosen: Any) -> tuple[Any, Any]:
    """Put images of a batch together, four in each (Bochkovskiy et al. 2020), here at half their size.

    Args:
        images: float32 [batch, height, width, channels].
        targets: boxes [batch, boxes, 5].
        chosen: which images become a mosaic of themselves and the three that follow, bool [batch].

    Returns:
        Images of the same size, and targets [batch, 4 boxes, 5].
    """
    height, width = tf.shape(images)[1] // 2 * 2, tf.shape(images)[2] // 2 * 2
    small = tf.image.resize(images, [height // 2, width // 2], method="area")
    parts = [tf.roll(small, -number, axis=0) for number in range(4)]
    whole = tf.concat([tf.concat(parts[:2], axis=2), tf.concat(parts[2:], axis=2)], axis=1)
    whole = tf.image.resize(whole, tf.shape(images)[1:3])
    moved = []
    for number in range(4):
        boxes = tf.roll(targets, -number, axis=0)
        corner = tf.constant([number % 2, number // 2] * 2, tf.float32) / 2
        placed = tf.concat([boxes[..., :4] / 2 + corner, boxes[..., 4:]], axis=2)
        moved.append(tf.where(boxes[..., 4:] >= 0, placed, -1.0))
    joined = tf.concat(moved, axis=1)
    alone = tf.pad(targets, [[0, 0], [0, 3 * tf.shape(targets)[1]], [0, 0]], constant_values=-1.0)
    chosen = chosen[:, tf.newaxis, tf.newaxis]
    return tf.where(chosen[..., tf.newaxis], whole, images), tf.where(chosen, joined, alone)


def follow(points: Any, transforms: Any, size: Any) -> Any:
    """Move points as the pixels of their images.

    Args:
        points: x and y as shares of width and height, float32 [batch, n, 2].
        transforms: from changed to original pixels, as `ImageAugmentation` draws them.
        size: height and width of the images, float32 [2].
    """
    a, b, e, c, d, f, _, _ = (value[:, tf.newaxis] for value in tf.unstack(transforms, axis=1))
    # Transforms join the centres of pixels, which lie half a pixel from the corners that shares count from.
    x, y = points[..., 0] * size[1] - 0.5 - e, points[..., 1] * size[0] - 0.5 - f
    determinant = a * d - b * c
    moved = tf.stack([(d * x - b * y) / determinant, (a * y - c * x) / determinant], axis=2)
    return (moved + 0.5) / size[::-1]


def _spread(draws: Any) -> Any:
    """Stretch [0, 1) to [-1, 1)."""
    return 2.0 * draws - 1.0
