"""Random objects in images, and what the places of a detector say of them."""

import numpy as np

#: Places of the two scales: a grid of 8 by 8 and one of 4 by 4.
GRIDS = (8, 4)


def random_boxes(random: np.random.Generator, count: int, low: float = 0.05, high: float = 0.5) -> np.ndarray:
    """Make boxes within the unit square: [count, 4]."""
    sizes = random.uniform(low, high, (count, 2))
    corners = random.uniform(0, 1, (count, 2)) * (1 - sizes)
    return np.concatenate([corners, corners + sizes], axis=1)


def random_objects(random: np.random.Generator, images: int, classes: int, most: int = 5) -> np.ndarray:
    """Make targets as they are encoded, the first image without any: float32 [images, most + 1, 5]."""
    targets = np.full((images, most + 1, 5), -1, np.float32)
    for image in range(images):
        count = image % (most + 1)
        boxes = random_boxes(random, count, low=0.01)
        targets[image, :count] = np.column_stack([boxes, random.integers(0, classes, count)])
    return targets


def places(random: np.random.Generator, images: int, classes: int) -> np.ndarray:
    """Make the answers of a network: boxes around its places, logits; float32 [images, 80, 6 + classes]."""
    rows = []
    for side in GRIDS:
        y, x = np.mgrid[:side, :side].reshape(2, -1)
        rows.append((np.stack([x, y], axis=1) + 0.5) / side)
    place = np.tile(np.concatenate(rows), (images, 1, 1))
    lengths = random.uniform(0.01, 0.3, (*place.shape[:2], 4))
    logits = random.normal(-1, 2, (*place.shape[:2], classes))
    parts = [place - lengths[..., :2], place + lengths[..., 2:], place, logits]
    return np.concatenate(parts, axis=2).astype(np.float32)
