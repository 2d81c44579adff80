"""Mistakes in preparing an image."""

import io
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from features.images.featurizer import ImageFeaturizer, Resize
from flows.diagnosis.mistake import Change, Mistake, combined

CHANNELS = (Change("BGR", "send channels in the order red, green, blue", lambda pixels: pixels[..., ::-1]),)
#: Mean and deviation of ImageNet's channels, as PyTorch's models take them.
_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
SCALES = (
    Change("values from 0 to 255", "divide by 255: pixels are from 0 to 1", lambda pixels: pixels * 255),
    Change("values from -1 to 1", "add 1 and halve: pixels are from 0 to 1", lambda pixels: pixels * 2 - 1),
    Change(
        "values normalised by ImageNet's mean",
        "send pixels from 0 to 1: the model normalises them itself",
        lambda pixels: (pixels - _MEAN) / _DEVIATION,
    ),
)


def mistakes(content: bytes, raw: bytes, featurizer: ImageFeaturizer) -> list[Mistake]:
    """Return what a client may make of an encoded image: pixels [height, width, channels].

    Args:
        content: of the file.
        raw: what is sent of it.
        featurizer: of the model.
    """
    right = featurizer(tf.constant([raw])).numpy()[0]
    bases = [
        Mistake((), "", right),
        *_sideways(content, featurizer, right),
        *_resized(content, featurizer, right),
    ]
    return combined(
        bases,
        CHANNELS if featurizer.channels == 3 else (),
        SCALES if featurizer.channels == 3 else SCALES[:2],
    )


def _sideways(raw: bytes, featurizer: ImageFeaturizer, right: np.ndarray) -> Iterator[Mistake]:
    """Yield the pixels of an image whose EXIF orientation was passed over."""
    with Image.open(io.BytesIO(raw)) as image:
        stored = image.convert("RGB")
    pixels = featurizer(tf.constant([_png(stored)])).numpy()[0]
    if np.abs(pixels - right).mean() > 0.01:
        yield Mistake(("EXIF orientation",), "turn the image by its EXIF orientation before resizing", pixels)


def _resized(raw: bytes, featurizer: ImageFeaturizer, right: np.ndarray) -> Iterator[Mistake]:
    """Yield the pixels of other ways of resizing, where they differ."""
    with Image.open(io.BytesIO(raw)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    todo = f"resize as the model does ({featurizer.resize}, antialiased), or send the encoded image"
    for name, pixels in _ways(upright, featurizer):
        if np.abs(pixels - right).mean() > 0.004:
            yield Mistake((f"another resize ({name})",), todo, pixels)


def _ways(upright: Image.Image, featurizer: ImageFeaturizer) -> Iterator[tuple[str, np.ndarray]]:
    height, width, channels = featurizer.height, featurizer.width, featurizer.channels
    encoded = tf.constant([_png(upright)])
    ways: tuple[Resize, ...] = ("stretch", "crop", "pad")
    for way in ways:
        other = featurizer if way == featurizer.resize else _featurizer(height, width, way, channels)
        yield way, other(encoded).numpy()[0]
    whole = np.asarray(upright, np.float32) / 255
    for method in ("nearest", "bilinear", "bicubic", "area"):
        pixels = tf.image.resize(whole, (height, width), method).numpy()
        yield f"{method}, not antialiased" if method != "area" else method, _channels(pixels, channels)


@lru_cache(maxsize=8)
def _featurizer(height: int, width: int, way: Resize, channels: int) -> ImageFeaturizer:
    """Make a featurizer, once: each builds a graph of its own when it is first called."""
    return ImageFeaturizer(height, width, way, channels)


def _channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    return pixels if channels == 3 else pixels @ np.array([[0.299], [0.587], [0.114]], np.float32)


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def laid_out(given: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, str | None]:
    """Bring pixels to [height, width, channels]; say where they had another layout or shape."""
    shape = right.shape
    pixels = given[0] if given.ndim == 4 and len(given) == 1 else given
    if pixels.shape == shape:
        return pixels, None
    if pixels.ndim == 3 and pixels.shape == (shape[2], shape[0], shape[1]):
        return np.moveaxis(pixels, 0, 2), "channels first: send [height, width, channels]"
    return pixels, f"shape {list(pixels.shape)}: send {list(shape)}"


def network_input(values: np.ndarray, featurizer: Any) -> Any:
    """Return what the network is given for pixels."""
    return tf.constant(values[np.newaxis], tf.float32)
