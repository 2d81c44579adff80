"""Fit the boxes of an annotation to the image that they are of."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from features.names import counted
from features.quarantine import RefusedError
from features.sources.annotations.annotation import CORNERS, Annotation, Box
from features.sources.tables import cells, number_format
from features.targets import upright
from features.targets.target import Fitted


def fit(annotation: Annotation, measures: Mapping[str, Any], rules: Any) -> Fitted | RefusedError:
    """Place boxes in the image as displayed.

    Args:
        annotation: with its classes as they are read.
        measures: of the image; see `upright.size`.
        rules: a `BoxRules`.

    Returns:
        The target's text, with the boxes that cannot be used; or why the whole image is refused.
    """
    if rules.sizes == "check" and (fault := _size_fault(annotation, measures)):
        return RefusedError("wrong_size", fault)
    notes = {"other_orientation"} if _turned_otherwise(annotation, measures, rules) else set()
    lines, refused = [], []
    for box in annotation.boxes:
        try:
            placed = _placed(box, measures, rules)
            inside = _clipped(box, placed, measures, rules)
        except RefusedError as refusal:
            refused.append(refusal)
            continue
        notes |= set() if np.array_equal(inside, placed) else {"clipped_boxes"}
        lines.append(cells.line([box.label, *map(_written, inside)]))
    if refused and (rules.bad_boxes == "refuse_image" or not lines):
        first = refused[0]
        more = f"; {counted(len(refused) - 1, 'further fault')}" if len(refused) > 1 else ""
        return RefusedError(first.reason, f"box {first.row}: {first.detail}{more}")
    return Fitted("\n".join(sorted(lines)), tuple(refused), tuple(sorted(notes)))


def _size_fault(annotation: Annotation, measures: Mapping[str, Any]) -> str | None:
    """Say what is wrong with a declared size: it is neither the stored nor the displayed one."""
    width, height = upright.size(measures)
    for size in annotation.sizes:
        if _declared(size) not in ((width, height), _stored(measures)):
            return f"the annotation declares {' x '.join(size)} pixels; the image has {width} x {height}"
    return None


def _turned_otherwise(annotation: Annotation, measures: Mapping[str, Any], rules: Any) -> bool:
    """Return whether the declared size is that of the image in the other form than coordinates count in."""
    displayed, stored = upright.size(measures), _stored(measures)
    other = stored if rules.boxes == "displayed" else displayed
    return displayed != stored and other in map(_declared, annotation.sizes)


def _stored(measures: Mapping[str, Any]) -> tuple[int, int]:
    return measures["width"], measures["height"]


def _declared(size: tuple[str, str]) -> tuple[float | None, ...]:
    return tuple(number_format.PLAIN.number(cell.strip()) for cell in size)


def _placed(box: Box, measures: Mapping[str, Any], rules: Any) -> np.ndarray:
    """Return xmin, ymin, xmax and ymax in the image as displayed.

    Raises:
        RefusedError: the box has no class or an unknown one, a coordinate that is no number, or no area.
    """
    if not box.label.strip() or box.label in rules.missing_labels:
        raise RefusedError("missing_value", f"the class is {box.label!r}", row=box.row)
    if rules.classes and box.label not in rules.classes:
        names = ", ".join(map(repr, rules.classes))
        raise RefusedError("unknown_class", f"the class is {box.label!r}; expected {names}", row=box.row)
    corners = np.array([_number(name, cell, box) for name, cell in zip(CORNERS, box.corners, strict=True)])
    if not (corners[:2] < corners[2:]).all():
        raise RefusedError(
            "empty_box", f"{_shown(box)}; xmax must exceed xmin, and ymax exceed ymin", row=box.row
        )
    if rules.boxes == "displayed":
        return corners
    points = upright.turned(corners.reshape(2, 2), measures)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _number(name: str, cell: str, box: Box) -> float:
    if not cell.strip():
        raise RefusedError("missing_value", f"the box has no {name}", row=box.row)
    value = number_format.PLAIN.number(cell.strip())
    if value is None:
        raise RefusedError("not_a_number", f"{name} is {cell!r}; expected a finite number", row=box.row)
    return value


def _clipped(box: Box, corners: np.ndarray, measures: Mapping[str, Any], rules: Any) -> np.ndarray:
    """Return what of a box lies in the image.

    Raises:
        RefusedError: nothing does; or not all of it, and the rules do not clip.
    """
    size = np.array(upright.size(measures), np.float64)
    inside = np.concatenate([np.maximum(corners[:2], 0), np.minimum(corners[2:], size)])
    within = "wholly" if not (inside[:2] < inside[2:]).all() else "partly"
    if within == "wholly" or (rules.outside == "refuse" and not np.array_equal(inside, corners)):
        detail = f"{_shown(box)} lies {within} outside the image of {size[0]:g} x {size[1]:g} pixels"
        raise RefusedError("outside_image", detail, row=box.row)
    return inside


def _shown(box: Box) -> str:
    return ", ".join(f"{name} {cell}" for name, cell in zip(CORNERS, box.corners, strict=True))


def _written(value: float) -> str:
    """Write a coordinate in the shortest form that reads as the same number."""
    return str(int(value)) if value == int(value) else repr(float(value))
