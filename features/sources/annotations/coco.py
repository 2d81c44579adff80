"""COCO as a source: images named by a JSON file, with boxes or the keypoints of one object."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from features.decisions import Decisions
from features.errors import DataError
from features.names import counted, escape, printable
from features.sources.annotations import coco_file
from features.sources.annotations.annotation import Annotation, Box, Corners, different
from features.sources.annotations.coco_file import CocoFile
from features.sources.files import folders, splits
from features.sources.files.candidates import (
    Annotations,
    Candidate,
    Columns,
    Entry,
    Rejected,
    Skipped,
    Source,
)
from features.sources.files.named_files import NamedFiles
from features.sources.files.selection import Selection
from features.sources.tables import cells

SUFFIX = ".json"
#: Levels of folders that are searched for annotation files; a folder of more JSON files has none.
_DEEP, _MANY = 3, 20
#: Images of a file that are looked for to find their folder.
_TRIED = 50
_HOMES = ("annotations", "annotation", "labels")
#: Names that COCO's own files of each kind begin with.
_PREFIXES: Mapping[Annotations, str] = {"boxes": "instances", "points": "person_keypoints"}


def open_file(path: Path, selection: Selection, columns: Columns) -> Source:
    """Make a source of one annotation file; images lie in its folder, or in one beside ``annotations/``.

    Raises:
        DataError: it is not COCO's, or has no keypoints where these are asked for.
    """
    file = coco_file.read(path)
    if columns.annotations == "points" and not file.keypoints():
        raise DataError(
            f"{path} has no keypoints",
            got=f"categories {', '.join(map(coco_file.name_of, file.categories.values()))}",
            expected="a category with a list of keypoints",
            todo="for boxes, train object-detection",
        )
    root = path.parent.parent if path.parent.name.lower() in _HOMES else path.parent
    return _source(os.fsencode(root), {None: file}, selection, columns)


def find(root: bytes, shown: str, selection: Selection, columns: Columns) -> Source | None:
    """Make a source of a folder with annotation files in it, one for each split; None where there is none.

    Arguments as of `voc.find`.

    Raises:
        DataError: several files are of one split.
        OSError: root cannot be read.
    """
    files = [file for path in _paths(root) if (file := _usable(path, columns))]
    prefix = _PREFIXES[columns.annotations or "boxes"]
    files = [file for file in files if file.path.name.startswith(prefix)] or files
    if len(files) < 2:
        return _source(root, {None: files[0]}, selection, columns) if files else None
    named = {splits.named_by_file(os.path.relpath(os.fsencode(file.path), root)): file for file in files}
    if None in named or len(named) < len(files):
        raise DataError(
            f"{shown} holds several annotation files",
            got=", ".join(file.path.name for file in files[:6]),
            expected="one, or one for each split, named or in a folder named train, val and test",
            todo="pass the annotation file itself as --data",
        )
    return _source(root, named, selection, columns)


def _paths(root: bytes) -> Iterator[Path]:
    """Yield the JSON files that may be annotations."""
    waiting = [(root, 0)]
    while waiting:
        folder, depth = waiting.pop(0)
        try:
            listing = folders.list_folder(folder)
        except OSError:
            if depth == 0:
                raise
            continue
        there = [name for name in listing.files if name.lower().endswith(SUFFIX.encode())]
        if len(there) <= _MANY:
            yield from (Path(os.fsdecode(os.path.join(folder, name))) for name in there)
        waiting += [(os.path.join(folder, name), depth + 1) for name in listing.folders if depth < _DEEP]


def _usable(path: Path, columns: Columns) -> CocoFile | None:
    try:
        file = coco_file.read(path)
        return file if columns.annotations == "boxes" or file.keypoints() else None
    except DataError:
        return None


def _source(
    root: bytes, files: Mapping[str | None, CocoFile], selection: Selection, columns: Columns
) -> Source:
    points = next(iter(files.values())).keypoints() if columns.annotations == "points" else ()
    for file in files.values():
        if points and file.keypoints() != points:
            raise DataError(
                "the annotation files have different keypoints",
                got=file.path.name,
                expected="the same names in the same order",
                todo="pass one of the files as --data",
            )
    decisions = Decisions()

    def scan() -> Iterator[Entry]:
        for split, file in files.items():
            yield from _Reader(root, file, split, selection, columns).read(points, decisions)

    names = ", ".join(file.path.name for file in files.values())
    described = printable(f"COCO file {names}: {columns.annotations}")
    targets = tuple(f"{name}_{axis}" for name in points for axis in "xy")
    return Source("coco", described, root, (), (), scan, targets=targets, decisions=decisions)


class _Reader:
    """Reads the images of one annotation file."""

    def __init__(
        self, root: bytes, file: CocoFile, split: str | None, selection: Selection, columns: Columns
    ) -> None:
        self._file, self._split = file, split
        self._relative = os.path.relpath(os.fsencode(file.path), root)
        self._folder = _images_folder(root, self._relative, file, columns.table.folder)
        options = replace(columns.table, folder=self._folder)
        self._files = NamedFiles(root, selection, options, "annotations")
        self._crowds = 0

    def read(self, points: Sequence[str], decisions: Decisions) -> Iterator[Entry]:
        """Yield what cannot be used, then every image."""
        for row, reason, detail in self._file.faults:
            yield Rejected(self._relative, reason, detail, row)
        self._files.bring(image["file_name"] for _, image in self._file.images)
        for row, image in self._file.images:
            objects = self._objects(image)
            yield from (
                self._points(row, image, objects, points) if points else self._boxes(row, image, objects)
            )
        self._record(decisions)

    def _record(self, decisions: Decisions) -> None:
        name = escape(self._relative)
        where = f"images in {self._folder}/" if self._folder not in ("", ".") else "images beside it"
        decisions.add("annotations", name, "COCO", f"{counted(len(self._file.images), 'image')}, {where}")
        if self._crowds:
            choice = f"{counted(self._crowds, 'region')} of crowds left out"
            decisions.add("crowds", name, choice, "iscrowd: no single objects")
        self._files.record(decisions)

    def _objects(self, image: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
        """Return the annotations of an image but for crowds."""
        every = self._file.objects.get(image["id"], [])
        single = [(row, one) for row, one in every if not one.get("iscrowd")]
        self._crowds += len(every) - len(single)
        return single

    def _boxes(
        self, row: int, image: Mapping[str, Any], objects: Sequence[tuple[int, Mapping[str, Any]]]
    ) -> Iterator[Entry]:
        boxes = []
        for number, one in objects:
            category = self._category(one)
            if category is None:
                detail = f"annotation {number}: {one.get('category_id')!r} is not the id of a category"
                yield Rejected(self._relative, "unknown_class", detail, number)
            else:
                boxes.append(Box(coco_file.name_of(category), _corners(one), number))
        size = (_cell(image.get("width")), _cell(image.get("height")))
        yield self._entry(row, image, Annotation(tuple(boxes), different([size])).text())

    def _category(self, one: Mapping[str, Any]) -> Mapping[str, Any] | None:
        key = one.get("category_id")
        return self._file.categories.get(key) if isinstance(key, int | str) else None

    def _points(
        self,
        row: int,
        image: Mapping[str, Any],
        objects: Sequence[tuple[int, Mapping[str, Any]]],
        points: Sequence[str],
    ) -> Iterator[Entry]:
        """Yield an image with the points of its one object."""
        keypoints = []
        for number, one in objects:
            triples = _triples(one.get("keypoints"), len(points))
            if triples is None:
                detail = f"annotation {number}: the keypoints are not {len(points)} times x, y, v"
                yield Rejected(self._relative, "bad_annotation", detail, number)
                return
            if any(visible for _, _, visible in triples):
                keypoints.append(triples)
        if not keypoints:
            yield Skipped(escape(image["file_name"]), "unannotated")
        elif len(keypoints) > 1:
            detail = f"{image['file_name']!r} has {len(keypoints)} objects with keypoints; expected one"
            yield Rejected(self._relative, "several_objects", detail, row)
        else:
            written = [_cell(value) if visible else "" for x, y, visible in keypoints[0] for value in (x, y)]
            yield self._entry(row, image, cells.line(written))

    def _entry(self, row: int, image: Mapping[str, Any], label: str) -> Entry:
        name = escape(self._relative) + f":{row}"
        return self._files.entry(
            image["file_name"], Candidate(None, name, label, self._split, row=row), self._relative
        )


def _corners(one: Mapping[str, Any]) -> Corners:
    """Return the corners of a box that is written as corner, width and height; empty where there is none."""
    box = one.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        return "", "", "", ""
    x, y, width, height = box
    return _cell(x), _cell(y), _cell(_sum(x, width)), _cell(_sum(y, height))


def _sum(start: Any, extent: Any) -> Any:
    """Return where an extent ends; what is no number as it is."""
    if not _is_number(extent):
        return extent
    try:
        return start + extent if _is_number(start) else start
    except OverflowError:
        return float("inf")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: object) -> str:
    return "" if value is None else coco_file.text(value)


def _triples(written: Any, count: int) -> list[Sequence[Any]] | None:
    """Cut keypoints into x, y and visibility; None where they are not as many, or no numbers."""
    if written is None:
        return []
    if not isinstance(written, list) or len(written) != 3 * count or not all(map(_is_number, written)):
        return None
    return [written[place : place + 3] for place in range(0, len(written), 3)]


def _holds(root: bytes, folder: str, file: CocoFile) -> bool:
    """Return whether some image of a file lies in a folder below the source."""
    if folder.startswith(".."):
        return False
    here = os.path.join(root, os.fsencode(folder))
    names = (image["file_name"].replace("\\", "/").strip().encode() for _, image in file.images[:_TRIED])
    return any(b"\0" not in name and os.path.lexists(os.path.join(here, name)) for name in names)


def _images_folder(root: bytes, relative: bytes, file: CocoFile, folder: str) -> str:
    """Find the folder of a file's images: the one named, else the first of the usual ones that has some."""
    home = os.path.split(os.fsdecode(relative))[0]
    above = os.path.split(home)[0]
    stem = file.path.stem.rpartition("_")[2]
    inner = (folder,) if folder else ("", "images", stem, os.path.join("images", stem))
    places = [os.path.normpath(os.path.join(base, one)) for base in (home, above, "") for one in inner]
    held = (place for place in dict.fromkeys(places) if _holds(root, place, file))
    return next(held, places[0])
