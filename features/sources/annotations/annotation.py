"""The objects of one image as its annotation has them, before anything is checked."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

#: Names of a box's coordinates, in their order.
CORNERS = ("xmin", "ymin", "xmax", "ymax")
#: Coordinates as written.
Corners = tuple[str, str, str, str]


@dataclass(frozen=True)
class Box:
    """One object.

    Attributes:
        label: its class; empty where there is none.
        corners: xmin, ymin, xmax and ymax as written, in pixels.
        row: of the table, or place in the annotation, from 1.
    """

    label: str
    corners: Corners
    row: int


@dataclass(frozen=True)
class Annotation:
    """The objects of one image.

    Attributes:
        boxes: in the order in which they are written.
        sizes: widths and heights that are declared for the image, all different.
    """

    boxes: tuple[Box, ...] = ()
    sizes: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        """Write it as the text that a `Candidate` carries."""
        boxes = [[box.label, *box.corners, box.row] for box in self.boxes]
        return json.dumps({"boxes": boxes, "sizes": self.sizes}, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def of(cls, text: str) -> Self:
        """Read what `text` wrote."""
        written = json.loads(text)
        boxes = tuple(_box(*cells) for cells in written["boxes"])
        return cls(boxes, tuple((width, height) for width, height in written["sizes"]))


def _box(label: str, *rest: str | int) -> Box:
    xmin, ymin, xmax, ymax, row = rest
    return Box(label, (str(xmin), str(ymin), str(xmax), str(ymax)), int(row))


def different(sizes: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the sizes that are declared, each once."""
    return tuple(dict.fromkeys(size for size in sizes if any(size)))
