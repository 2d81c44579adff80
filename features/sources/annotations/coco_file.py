"""Read one annotation file of COCO: JSON with images, annotations and categories."""

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import DataError
from features.quarantine import RefusedError
from features.storage.files import read_file

#: A larger file is not read: it is held in memory whole.
MOST_BYTES = 2 << 30


@dataclass(frozen=True)
class CocoFile:
    """An annotation file; rows count from 1 in the list they are of.

    Attributes:
        path: of the file.
        images: row and content of each image that can be used.
        objects: by an image's id, row and content of its annotations.
        categories: content by id.
        faults: row, reason and detail of what cannot be used.
    """

    path: Path
    images: tuple[tuple[int, Mapping[str, Any]], ...]
    objects: Mapping[Any, list[tuple[int, Mapping[str, Any]]]]
    categories: Mapping[Any, Mapping[str, Any]]
    faults: tuple[tuple[int, str, str], ...]

    def keypoints(self) -> tuple[str, ...]:
        """Return the names of the keypoints; none where no category has any.

        Raises:
            DataError: two categories have different ones.
        """
        listed = (one.get("keypoints") for one in self.categories.values())
        named = {tuple(map(text, names)) for names in listed if isinstance(names, list) and names}
        if len(named) > 1:
            raise DataError(
                f"the categories of {self.path.name} have different keypoints",
                got=f"{len(named)} lists",
                expected="one",
                todo="keep one category, and write one file for each other",
            )
        return next(iter(named), ())


def text(value: object) -> str:
    """Return a value as text that can be written as UTF-8."""
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def name_of(category: Mapping[str, Any]) -> str:
    """Return a category's name; an empty text where it has none."""
    return text(category.get("name") or "")


def read(path: Path) -> CocoFile:
    """Read a file.

    Raises:
        DataError: it is no JSON, or not COCO's.
    """
    try:
        content, _ = read_file(os.fsencode(path), MOST_BYTES)
        written = json.loads(content)
    except RefusedError as refusal:
        raise _unreadable(path, refusal.detail) from None
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, f"no JSON: {error}") from None
    if not isinstance(written, dict):
        raise _unreadable(path, "JSON of something else")
    for key in ("images", "annotations", "categories"):
        if not isinstance(written.get(key), list):
            raise _unreadable(path, f"JSON without a list {key!r}")
    return _checked(path, written)


def _unreadable(path: Path, got: str) -> DataError:
    return DataError(
        f"{path} cannot be read as COCO",
        got=got,
        expected='{"images": [...], "annotations": [...], "categories": [...]}',
        todo="export the annotations again, as COCO JSON",
    )


def _checked(path: Path, written: Mapping[str, list[Any]]) -> CocoFile:
    faults: list[tuple[int, str, str]] = []
    images: dict[Any, tuple[int, Mapping[str, Any]]] = {}
    for row, image in enumerate(written["images"], start=1):
        if fault := _image_fault(image, images):
            faults.append((row, "bad_annotation", f"image {row} {fault}"))
        else:
            images[image["id"]] = (row, image)
    objects: dict[Any, list[tuple[int, Mapping[str, Any]]]] = defaultdict(list)
    for row, one in enumerate(written["annotations"], start=1):
        if not isinstance(one, dict) or not _is_id(one.get("image_id")) or one["image_id"] not in images:
            faults.append((row, "bad_annotation", f"annotation {row} is of no image of the file"))
        else:
            objects[one["image_id"]].append((row, one))
    return CocoFile(
        path, tuple(images.values()), objects, dict(_categories(written["categories"])), tuple(faults)
    )


def _image_fault(image: Any, images: Mapping[Any, object]) -> str | None:
    if not isinstance(image, dict) or not _is_id(image.get("id")):
        return "has no id"
    if image["id"] in images:
        return f"has the id {image['id']!r} of another"
    name = image.get("file_name")
    if not isinstance(name, str) or not name.strip():
        return "has no file_name"
    return None if name == text(name) else "has a file_name that is no text"


def _categories(written: list[Any]) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    for one in written:
        if isinstance(one, dict) and _is_id(one.get("id")):
            yield one["id"], one


def _is_id(value: object) -> bool:
    return isinstance(value, int | str)
