"""Coordinates in an image as it is displayed: its size, and where points of the stored pixels lie in it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

#: Of each EXIF orientation whether x and y are swapped, and whether each then counts from the far side.
_TURNS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}


def size(measures: Mapping[str, Any]) -> tuple[int, int]:
    """Return the width and height of an image as displayed.

    Args:
        measures: ``width`` and ``height`` in pixels as stored, and ``orientation`` as in EXIF.
    """
    width, height = int(measures["width"]), int(measures["height"])
    return (height, width) if _TURNS[int(measures["orientation"])][0] else (width, height)


def sizes(frame: Any) -> np.ndarray:
    """Return the width and height as displayed of each image of a manifest, float32 [images, 2]."""
    stored = frame[["width", "height"]].to_numpy(np.float32)
    swapped = (frame["orientation"] > 4).to_numpy()
    return np.where(swapped[:, None], stored[:, ::-1], stored)


def turned(points: np.ndarray, measures: Mapping[str, Any]) -> np.ndarray:
    """Move points of the stored pixels to where they are displayed.

    Args:
        points: x and y in pixels from the top left corner, float [..., 2].
        measures: as of `size`.
    """
    swapped, far_x, far_y = _TURNS[int(measures["orientation"])]
    width, height = size(measures)
    x, y = (points[..., 1], points[..., 0]) if swapped else (points[..., 0], points[..., 1])
    return np.stack([width - x if far_x else x, height - y if far_y else y], axis=-1)
