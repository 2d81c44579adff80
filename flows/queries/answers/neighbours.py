"""What an image search found, as a line or as one picture."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.images.preview import preview

if TYPE_CHECKING:
    from PIL.Image import Image

    from serving.client.predictor import Predictor

#: Neighbours named in a line, and neighbours drawn, at most.
NAMED, DRAWN = 10, 59
#: Pixels of the longer side of an image in the figure.
DRAWN_PIXELS = 320


def sentence(answer: Mapping[str, Any]) -> str:
    """Put the cluster of an image, where it has one, and its neighbours in one line."""
    neighbours = [f"{path} {score:.3f}" for path, score in _found(answer)[:NAMED]]
    group = f"cluster {answer['cluster']}, distance {answer['distance']:.3f}; " if "cluster" in answer else ""
    return f"{answer['input']}: {group}{', '.join(neighbours)}"


def _found(answer: Mapping[str, Any]) -> list[tuple[str, float]]:
    return [pair for pair in zip(answer["paths"], answer["scores"], strict=True) if pair[0]]


def picture(client: "Predictor", answer: Mapping[str, Any]) -> "Image":
    """Draw an image and its neighbours; the model itself is asked for their thumbnails."""
    from PIL import Image

    from models.figures.drawing import canvas, planes

    neighbours = _found(answer)[:DRAWN]
    ids = np.array([one.encode() for one in answer["ids"][: len(neighbours)]], object)
    files = client.predict(answer["model"], {"id": ids}, signature="thumbnail", version=answer["version"])
    pictures = [Path(answer["input"]).read_bytes(), *files["thumbnail_bytes"]]
    captions = [f"query\n{Path(answer['input']).name}"]
    captions += [f"{place}.  {score:.3f}\n{path}" for place, (path, score) in enumerate(neighbours, start=1)]
    drawn = canvas.png(planes.gallery([_pixels(file) for file in pictures], captions))
    return Image.open(io.BytesIO(drawn)).convert("RGB")


def _pixels(file: bytes) -> np.ndarray:
    """Decode an image for the figure; a grey square if it cannot be decoded."""
    thumbnail = preview(file, DRAWN_PIXELS)
    return np.full((96, 96, 3), 128, np.uint8) if thumbnail is None else np.asarray(thumbnail)
