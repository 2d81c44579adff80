"""Annotated images as the tests write and read them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from features.errors import DataError
from features.sources.annotations.annotation import Annotation, Box
from features.sources.files.candidates import Candidate, Columns, Rejected, Skipped, Source
from features.sources.recognise import recognise
from features.spec import IMAGE
from tests.faults.corpus import encode, picture

#: A box as the tests write it: class, xmin, ymin, xmax, ymax.
Written = tuple[str, float, float, float, float]


def photo(seed: int = 0, width: int = 48, height: int = 40, **options: object) -> bytes:
    return encode(picture(seed, width, height), "JPEG", **options)


def open_boxes(path: Path, **columns: Any) -> Source:
    return recognise(path, IMAGE, Columns(annotations="boxes", **columns), path.parent / "scratch")


def boxes_of(source: Source) -> dict[str, tuple[str | None, list[tuple[str, ...]]]]:
    """Split and boxes of each image, as written; those that cannot be used are left out."""
    read = {one.name: (one.split, Annotation.of(one.label)) for one in source if isinstance(one, Candidate)}
    return {
        name: (split, [(box.label, *box.corners) for box in annotation.boxes])
        for name, (split, annotation) in read.items()
    }


def rejected(source: Source) -> list[tuple[str, str, int | None]]:
    return sorted((one.relative.decode(), one.reason, one.row) for one in source if isinstance(one, Rejected))


def details(source: Source) -> str:
    return "\n".join(one.detail for one in source if isinstance(one, Rejected))


def skipped(source: Source) -> list[tuple[str, str]]:
    return sorted((one.name, one.reason) for one in source if isinstance(one, Skipped))


def refusal(path: Path, **columns: Any) -> str:
    with pytest.raises(DataError) as caught:
        list(open_boxes(path, **columns))
    return str(caught.value)


def voc(
    filename: str, *boxes: Written, size: tuple[int, int] | None = (48, 40), head: str = "", **parts: str
) -> bytes:
    """Write an XML file of Pascal VOC."""
    objects = "".join(
        f"<object><name>{name}</name><pose>Left</pose><difficult>0</difficult>"
        f"<bndbox><ymin>{ymin}</ymin><xmin>{xmin}</xmin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox>"
        f"{parts.get(name, '')}</object>"
        for name, xmin, ymin, xmax, ymax in boxes
    )
    declared = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    return f"{head}<annotation><filename>{filename}</filename>{declared}{objects}</annotation>".encode()


def coco(
    images: Sequence[str],
    objects: Sequence[Mapping[str, Any]] = (),
    categories: Sequence[Mapping[str, Any]] = ({"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}),
    size: tuple[int, int] = (48, 40),
) -> dict[str, Any]:
    """Make the content of a COCO file; images have the ids 100, 101 and so on."""
    return {
        "info": {},
        "images": [
            {"id": 100 + place, "file_name": name, "width": size[0], "height": size[1]}
            for place, name in enumerate(images)
        ],
        "annotations": [{"id": place, **one} for place, one in enumerate(objects)],
        "categories": list(categories),
    }


def annotation(*boxes: tuple[str, Any, Any, Any, Any], size: tuple[str, str] | None = None) -> str:
    """Write boxes as a source does; their rows count from 1."""
    written = tuple(
        Box(label, (str(a), str(b), str(c), str(d)), row)
        for row, (label, a, b, c, d) in enumerate(boxes, start=1)
    )
    return Annotation(written, (size,) if size else ()).text()
