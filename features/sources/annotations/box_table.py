"""Tables of boxes: CSV, TSV and Parquet with one box a row; the rows of a file are one image."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from features.decisions import Decisions
from features.errors import DataError
from features.names import escape, printable
from features.sources.annotations.annotation import CORNERS, Annotation, Box, different
from features.sources.files.candidates import (
    Candidate,
    Columns,
    Entry,
    Rejected,
    Skipped,
    Source,
    split_named,
)
from features.sources.files.named_files import NamedFiles
from features.sources.files.selection import Selection
from features.sources.tables import columns as table_columns
from features.sources.tables import file, number_format
from features.sources.tables.delimited import Broken, Row, Tally
from features.sources.tables.file import TableFile

#: Usual names of the columns, the likelier first; in small letters, without what stands between words.
_FILES = (
    *("file", "filename", "filepath", "path", "imagepath", "imagefile", "imagename", "image", "imageid"),
    *("img", "imgpath", "imgname", "imgid"),
)
_CLASSES = ("class", "classname", "label", "labelname", "category", "categoryname", "name", "target")
#: Names of the four corners: two ends on each axis, or a corner and the extent.
_ENDS = (CORNERS, ("x1", "y1", "x2", "y2"), ("x0", "y0", "x1", "y1"), ("left", "top", "right", "bottom"))
_EXTENTS = tuple(
    (*corner, *extent)
    for corner in (("x", "y"), ("left", "top"), ("xmin", "ymin"))
    for extent in (("w", "h"), ("width", "height"))
)
_BOXED = (("bboxx", "bboxy", "bboxwidth", "bboxheight"), ("bboxx", "bboxy", "bboxw", "bboxh"))
_SIZES = (("width", "height"), ("imagewidth", "imageheight"), ("imgwidth", "imgheight"))
_LAYOUT = (
    "columns such as file, class, xmin, ymin, xmax, ymax, or, without a header, path, x1, y1, x2, y2, class"
)


@dataclass(frozen=True)
class _Places:
    """Positions of the columns in a row; None where there is none."""

    input: int
    label: int
    corners: tuple[int, ...]
    extent: bool
    size: tuple[int, ...]
    split: int | None
    fold: int | None
    block: int | None

    def chosen(self) -> list[int]:
        """List the positions that are set."""
        parts = (self.input, self.label, *self.corners, *self.size, self.split, self.fold, self.block)
        return list(dict.fromkeys(place for place in parts if place is not None))


@dataclass
class _Image:
    """The rows of one image."""

    cell: str
    candidate: Candidate
    boxes: list[Box] = field(default_factory=list)
    sizes: list[tuple[str, str]] = field(default_factory=list)
    splits: dict[str | None, int] = field(default_factory=dict)


def is_box_table(path: Path, columns: Columns) -> bool:
    """Return whether a table's columns are those of boxes."""
    try:
        _open(path, columns)
    except (DataError, OSError):
        return False
    return True


def open_table(
    path: Path, selection: Selection, columns: Columns, decisions: Decisions | None = None
) -> Source:
    """Make a source of a table of boxes; arguments and errors as of `tables.open_table`.

    A row without class and coordinates stands for an image without objects.
    """
    table, places = _open(path, columns)
    decisions = Decisions() if decisions is None else decisions
    root = os.fsencode(path.parent)

    def scan() -> Iterator[Entry]:
        tally = Tally()
        reader = _Reader(table, places, NamedFiles(root, selection, columns.table))
        yield from reader.read(tally)
        table.record(tally, decisions)
        reader.files.record(decisions)

    if _headless(table) and columns.table.header:
        decisions.add("header", printable(path.name), "none: the first row is a box", _LAYOUT)
    decisions.add("annotations", printable(path.name), "a table of boxes", _described(table, places))
    described = printable(f"table {path.name}: boxes, {_described(table, places)}")
    return Source("table", described, root, (), (), scan, decisions=decisions)


def _open(path: Path, columns: Columns) -> tuple[TableFile, _Places]:
    table = file.read(path, columns.table)
    if _is_row(table.stored) and columns.table.header:
        table = file.read(path, replace(columns.table, header=False))
    return table, _places(table, columns)


def _headless(table: TableFile) -> bool:
    return table.dialect is not None and not table.dialect.header


def _is_row(stored: Sequence[str]) -> bool:
    """Return whether a first row is a box, or an image without any: path, four coordinates, class."""
    if len(stored) != len(CORNERS) + 2 or not stored[0].strip():
        return False
    *corners, label = (cell.strip() for cell in stored[1:])
    if not any(corners):
        return not label
    return all(map(number_format.PLAIN.matches, corners))


def _places(table: TableFile, columns: Columns) -> _Places:
    """Find the columns by the names given, else by the usual ones.

    Raises:
        DataError: a column is missing; names those of the table.
    """
    plain = [_plain(name) for name in table.names]
    by_place = _headless(table) and len(plain) == len(CORNERS) + 2
    split = table_columns.place_of(table, "split", columns.split, table_columns.SPLIT_NAMES)
    label = _named(table, "target", columns.targets[0] if columns.targets else None, _CLASSES, plain)
    source = _named(table, "input", columns.input, _FILES, plain)
    corners, extent = _corners(plain)
    if by_place:
        source, label = (0 if source is None else source), (5 if label is None else label)
        corners, extent = (1, 2, 3, 4), False
    if source is None or label is None:
        role, usual = ("input", _FILES) if source is None else ("target", _CLASSES)
        raise table_columns.unknown(table, role, usual)
    if not corners:
        raise DataError(
            f"table {table.path.name} has no columns that are recognised as boxes",
            got=f"columns {', '.join(map(repr, table.names[:20]))}",
            expected=_LAYOUT,
            todo="rename the columns of the corners to xmin, ymin, xmax, ymax",
        )
    size = next(
        (places for names in _SIZES if (places := _all(names, plain)) and not set(places) & set(corners)), ()
    )
    fold = table_columns.place_of(table, "fold", columns.fold, table_columns.FOLD_NAMES)
    block = table_columns.place_of(table, "block", columns.block, ())
    return _Places(source, label, corners, extent, size, split, fold, block)


def _plain(name: str) -> str:
    return re.sub(r"[^0-9a-z]", "", name.lower())


def _named(
    table: TableFile, role: str, column: str | None, usual: Sequence[str], plain: Sequence[str]
) -> int | None:
    """Find a column by the name given, else by the likeliest of the usual ones."""
    if column is not None:
        return table_columns.place_of(table, role, column, ())
    return next((plain.index(name) for name in usual if name in plain), None)


def _corners(plain: Sequence[str]) -> tuple[tuple[int, ...], bool]:
    """Find the columns of the corners, and whether the last two hold the extent."""
    bare = [name.removeprefix("bbox").removeprefix("box") for name in plain]
    for extent, sets in ((False, _ENDS), (True, _EXTENTS)):
        for names in sets:
            for columns in (plain, bare):
                if places := _all(names, columns):
                    return places, extent
    return next((places for names in _BOXED if (places := _all(names, plain))), ()), True


def _all(names: Sequence[str], columns: Sequence[str]) -> tuple[int, ...]:
    """Return the places of columns; none where one is missing or there twice."""
    there = all(columns.count(name) == 1 for name in names)
    return tuple(columns.index(name) for name in names) if there else ()


def _described(table: TableFile, places: _Places) -> str:
    parts: Mapping[str, Sequence[int | None]] = {
        "input": (places.input,),
        "class": (places.label,),
        "corner, width and height" if places.extent else "corners": places.corners,
        "size": places.size,
        "split": (places.split,),
        "fold": (places.fold,),
        "blocks": (places.block,),
    }
    named = {
        part: [repr(table.names[place]) for place in columns if place is not None]
        for part, columns in parts.items()
    }
    return ", ".join(f"{part} from {', '.join(names)}" for part, names in named.items() if names)


class _Reader:
    """Reads the rows of a table of boxes."""

    def __init__(self, table: TableFile, places: _Places, files: NamedFiles) -> None:
        self._table, self._places, self.files = table, places, files
        self._name = os.fsencode(table.path.name)

    def read(self, tally: Tally) -> Iterator[Entry]:
        """Yield the rows that cannot be used, then every image."""
        images: dict[bytes, _Image] = {}
        for number, row in enumerate(self._table.rows(self._places.chosen(), tally), start=1):
            tally.rows = number
            if isinstance(row, Broken):
                yield self._rejected(row, row.reason, row.detail, row.offset)
            elif not row.cells:
                yield Skipped(escape(f"{self._table.path.name}:{row.number}"), "blank_row")
            elif not row.cells[self._places.input].strip():
                yield self._rejected(row, "missing_value", "the row has no input")
            else:
                self._add(row, images)
        self.files.bring(image.cell for image in images.values())
        for image in images.values():
            yield self._entry(image)

    def _add(self, row: Row, images: dict[bytes, _Image]) -> None:
        """Add a row to its image."""
        places, cells = self._places, row.cells
        cell = cells[places.input]
        fold, block = (None if place is None else cells[place] for place in (places.fold, places.block))
        name = escape(f"{self._table.path.name}:{row.number}")
        first = Candidate(None, name, "", None, fold or None, block, row.number, line=row.line)
        image = images.setdefault(self.files.located(cell), _Image(cell, first))
        image.splits.setdefault(None if places.split is None else cells[places.split].strip(), row.number)
        image.sizes += [(cells[places.size[0]], cells[places.size[1]])] if places.size else []
        label = cells[places.label]
        xmin, ymin, xmax, ymax = self._corners([cells[place].strip() for place in places.corners])
        if any((xmin, ymin, xmax, ymax, label.strip())):
            image.boxes.append(Box(label, (xmin, ymin, xmax, ymax), row.number))

    def _corners(self, written: Sequence[str]) -> Sequence[str]:
        """Return the four corners as text; an extent is added to its corner where both are numbers."""
        if not self._places.extent:
            return written
        x, y, width, height = (number_format.PLAIN.number(cell) for cell in written)
        right = written[2] if x is None or width is None else repr(x + width)
        bottom = written[3] if y is None or height is None else repr(y + height)
        return (*written[:2], right, bottom)

    def _entry(self, image: _Image) -> Entry:
        """Return an image with the boxes of all its rows."""
        splits = {text: None if text is None else split_named(text) for text in image.splits}
        row = image.candidate
        for text, split in splits.items():
            if text is not None and split is None:
                detail = f"the split of {image.cell!r} is {text!r}; expected train, validation or test"
                return Rejected(self._name, "unknown_split", detail, image.splits[text], row.line)
        if len(set(splits.values())) > 1:
            rows = ", ".join(f"{text} in row {number}" for text, number in image.splits.items())
            detail = f"the rows of {image.cell!r} name different splits: {rows}"
            return Rejected(self._name, "split_conflict", detail, row.row, row.line)
        label = Annotation(tuple(image.boxes), different(image.sizes)).text()
        split = next(iter(splits.values()))
        return self.files.entry(image.cell, replace(row, label=label, split=split), self._name)

    def _rejected(self, row: Row | Broken, reason: str, detail: str, offset: int | None = None) -> Rejected:
        return Rejected(self._name, reason, detail, row.number, row.line, offset)
