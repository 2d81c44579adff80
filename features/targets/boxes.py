"""Boxes as targets: every object of an image with its class and place.

A target's text has one line of CSV for each box: class, xmin, ymin, xmax, ymax, in pixels from the top left
corner of the image as displayed; the text of an image without objects is empty. Coordinates are taken as they
are written: the original Pascal VOC counts pixels from 1 and includes the last one, but most tools that write
its form today do not.
"""

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from features.decisions import Decisions
from features.errors import DataError
from features.quarantine import RefusedError
from features.sources.annotations.annotation import Annotation, Corners
from features.sources.files.candidates import Annotations
from features.sources.tables import number_format
from features.sources.tables.number_format import NumberFormat
from features.spec import SPLITS
from features.targets import classes, fitting, numbers, upright
from features.targets.target import Fitted, Gathered, Readings

if TYPE_CHECKING:
    import pandas
    import pyarrow

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_NAMES = ("least", "lower_quartile", "median", "upper_quartile", "most")
#: What fills the rows of an image that has fewer boxes than another.
PADDING = -1.0

#: One box as a target's text has it: class, xmin, ymin, xmax, ymax.
Placed = tuple[str, float, float, float, float]


@dataclass(frozen=True)
class Boxes:
    """Objects of several classes, each in a box; any number of them in an image."""

    name: str = "boxes"
    usual: tuple[str, ...] = ()
    several: bool = False
    gaps: bool = False
    annotations: Annotations | None = "boxes"
    beside: tuple[str, ...] = ()

    def columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return none: a table of boxes is no table of targets."""
        return ()

    def read(self, written: Collection[str], rules: Any, decisions: Decisions) -> Readings:
        """Spell classes alike that surely mean the same, merge and leave out those the rules name.

        Numbers are read as the data write them.
        """
        annotations = {text: Annotation.of(text) for text in sorted(written)}
        labels = {box.label for annotation in annotations.values() for box in annotation.boxes} - {""}
        spelled = classes.spellings(labels, decisions)
        named = {label: rules.class_of(label, spelled.get(label, label)) for label in sorted(labels)}
        _record(named, spelled, decisions)
        corners = Counter(cell for one in annotations.values() for box in one.boxes for cell in box.corners)
        form = numbers.written_as(corners, "corners", decisions)
        return {text: _rewritten(one, named, form).text() for text, one in annotations.items()}

    def fit(self, text: str, measures: Mapping[str, Any], rules: Any) -> Fitted | RefusedError:
        """Place an annotation's boxes in the image as displayed; leave out those that do not fit.

        An image of which no box is left is refused: it is not known to be without objects.
        """
        return fitting.fit(Annotation.of(text), measures, rules)

    def check(self, gathered: Gathered) -> None:
        """Refuse no box at all, classes that differ in spelling alone or that no training image shows.

        Raises:
            DataError: as above, or the coordinates are fractions of the image's size.
        """
        boxes = [parsed(text) for text in gathered.texts]
        counts = Counter(box[0] for image in boxes for box in image)
        if not counts:
            raise DataError(
                "no usable box",
                got=f"{len(boxes)} images without objects; {gathered.instead}",
                expected="boxes around the objects of some images",
                todo=gathered.todo or "check that the annotations name boxes",
            )
        if max(max(box[1:]) for image in boxes for box in image) <= 1:
            raise DataError(
                "no box reaches beyond the first pixel of its image",
                got="coordinates of at most 1, such as fractions of the width and height",
                expected="pixels",
                todo="multiply x by the image's width and y by its height",
            )
        classes.refuse_twins(counts, classes.show(counts))
        if gathered.splits:
            _require_in_training(boxes, gathered.splits)

    def strata(self, texts: Sequence[str]) -> None:
        """Return None: an image may show several classes."""

    def names(self, texts: Iterable[str], columns: Sequence[str]) -> list[str]:
        """Return the classes of all boxes, sorted."""
        return sorted({box[0] for text in set(texts) for box in parsed(text)})

    def column(self, texts: Sequence[str], names: Sequence[str]) -> "pyarrow.Array":
        """Return for each image a list of boxes: the class's place, xmin, ymin, xmax, ymax, float64."""
        import pyarrow

        places = {label: float(place) for place, label in enumerate(names)}
        rows = [[[places[label], *corners] for label, *corners in parsed(text)] for text in texts]
        return pyarrow.array(rows, pyarrow.list_(pyarrow.list_(pyarrow.float64())))

    def summarise(
        self, texts: Sequence[str], splits: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Count boxes by class and split, and those of an image; describe their size in pixels."""
        images = [parsed(text) for text in texts]
        counts = {name: dict.fromkeys(SPLITS, 0) for name in names}
        empty = dict.fromkeys(SPLITS, 0)
        for boxes, split in zip(images, splits, strict=True):
            empty[split] += not boxes
            for label, *_ in boxes:
                counts[label][split] += 1
        sizes: dict[str, list[float]] = {name: [] for name in names}
        for label, xmin, ymin, xmax, ymax in (box for boxes in images for box in boxes):
            sizes[label].append(((xmax - xmin) * (ymax - ymin)) ** 0.5)
        return {
            "boxes": {
                "classes": counts,
                "images_without_boxes": empty,
                "per_image": _quantiles([len(boxes) for boxes in images]),
                "sizes": {name: _quantiles(values) for name, values in sizes.items()},
            }
        }

    def encode(self, frame: "pandas.DataFrame") -> np.ndarray:
        """Return float32 [images, boxes, 5]: xmin, ymin, xmax, ymax as fractions of the image, and the class.

        There are as many boxes as the image with most has, at least one; the rows of an image that has fewer
        are filled with PADDING.
        """
        images = [_array(boxes) for boxes in frame["target"]]
        encoded = np.full((len(images), max(map(len, images), default=1) or 1, 5), PADDING, np.float32)
        scales = np.tile(upright.sizes(frame), 2)
        for place, (boxes, scale) in enumerate(zip(images, scales, strict=True)):
            encoded[place, : len(boxes)] = np.column_stack([boxes[:, 1:] / scale, boxes[:, 0]])
        return encoded

    def groups(self, encoded: np.ndarray) -> np.ndarray:
        """Return one group: an image may show several classes."""
        return np.zeros(len(encoded), np.int32)

    def expected(self, width: int) -> str:
        """Name the range of classes and corners."""
        return f"classes 0 to {width - 1}, in boxes within their image"

    def misfits(self, encoded: np.ndarray, width: int) -> np.ndarray:
        """Return the positions of images with a class that the network has no output for, or a bad box."""
        corners, places = encoded[..., :4], encoded[..., 4]
        padded = (encoded == PADDING).all(axis=-1)
        valid_class = (places >= 0) & (places < width) & (places == np.round(places))
        inside = ((corners >= 0) & (corners <= 1)).all(axis=-1)
        sound = valid_class & inside & (corners[..., :2] < corners[..., 2:]).all(axis=-1)
        return np.flatnonzero(~(sound | padded).all(axis=1))


def parsed(text: str) -> list[Placed]:
    """Parse a target's text: class, xmin, ymin, xmax, ymax of each box, in pixels as displayed."""
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    return [(row[0], *map(float, row[1:])) for row in rows]  # type: ignore[misc]


def _rewritten(annotation: Annotation, named: Mapping[str, str | None], form: NumberFormat) -> Annotation:
    """Give boxes the classes they are read as, without those that are left out, and plain numbers."""
    renamed = [(box, named.get(box.label, box.label)) for box in annotation.boxes]
    boxes = tuple(
        replace(box, label=label, corners=_plain(box.corners, form))
        for box, label in renamed
        if label is not None
    )
    return replace(annotation, boxes=boxes)


def _plain(corners: Corners, form: NumberFormat) -> Corners:
    """Write corners as plain numbers; what is none stays, to be refused."""
    if form == number_format.PLAIN:
        return corners
    read = [(cell, form.number(cell)) for cell in corners]
    xmin, ymin, xmax, ymax = (cell if value is None else repr(value) for cell, value in read)
    return xmin, ymin, xmax, ymax


def _record(named: Mapping[str, str | None], spelled: Mapping[str, str], decisions: Decisions) -> None:
    for label, name in named.items():
        if name is None:
            decisions.add("class", label, "left out", "data.drop; its objects count as background")
        elif name != spelled.get(label, label):
            decisions.add("class", label, f"merged into {name!r}", "data.merge")


def _require_in_training(images: Sequence[Sequence[Placed]], splits: Sequence[str]) -> None:
    labels = {
        split: {box[0] for boxes, own in zip(images, splits, strict=True) if own == split for box in boxes}
        for split in set(splits)
    }
    lacking = sorted(set().union(*labels.values()) - labels.get("train", set()))
    if lacking:
        raise DataError(
            f"no training image shows class {', '.join(map(repr, lacking[:10]))}",
            got=", ".join(f"{split}: {len(own)} classes" for split, own in sorted(labels.items())),
            expected="every class in at least one training image",
            todo=f"add some, merge (data.merge) or leave out (data.drop) {lacking[0]!r}, or choose another "
            "data.seed",
        )


def _array(boxes: Any) -> np.ndarray:
    return np.array([np.asarray(box, np.float64) for box in boxes]).reshape(-1, 5)


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    quantiles = np.quantile(values, _SHARES) if values else np.zeros(0)
    return {name: float(value) for name, value in zip(_NAMES, quantiles, strict=False)}


def cut_off(encoded: np.ndarray) -> np.ndarray:
    """Cut encoded boxes [images, boxes, 5] off at 0 and 1; one of which nothing is left is left out."""
    corners = np.clip(encoded[..., :4], 0, 1)
    left = (corners[..., 2:] > corners[..., :2]).all(axis=2) & (encoded[..., 4] >= 0)
    boxes = np.concatenate([corners, encoded[..., 4:]], axis=2)
    return np.where(left[..., None], boxes, np.float32(PADDING))


BOXES = Boxes()
