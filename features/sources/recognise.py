"""Recognise where raw examples come from: folders, tables, or an archive of either."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from features.decisions import Decisions
from features.errors import AccessError, DataError, NoInputError, StorageError
from features.names import printable
from features.sources import archives
from features.sources.annotations import box_table, coco, voc
from features.sources.files import folders, side_files
from features.sources.files.candidates import (
    Candidate,
    Columns,
    Entry,
    Labelling,
    Rejected,
    Skipped,
    Source,
    split_named,
)
from features.sources.files.selection import FOLLOW, Selection
from features.sources.tables import tables
from features.spec import SPLITS, Progress, RawKind, silent

__all__ = ["Candidate", "Columns", "Entry", "Rejected", "Skipped", "Source", "recognise"]

_LAYOUTS = (
    "folders named by class, folders train, val and test of such folders, a table (.csv, .tsv, .parquet) "
    "with an input and a target column, tables train, val and test, or an archive (.zip, .tar, .tar.gz, "
    ".tgz) of one of these"
)


_ANNOTATED = (
    "a table of boxes (file, class, xmin, ymin, xmax, ymax), Pascal VOC's XML files beside images or in "
    "annotations/, a COCO .json with its images, or an archive (.zip, .tar, .tar.gz, .tgz) of one of these"
)
_POINTS = (
    "a table (.csv, .tsv, .parquet) with an input column and columns x0, y0, x1, y1 ..., a COCO .json of "
    "keypoints with its images, or an archive (.zip, .tar, .tar.gz, .tgz) of one of these"
)


_BESIDE = (
    "files, each with its target in a file of the same name beside it ({}), in folders train, val and test "
    "or any others, a table (.csv, .tsv, .parquet) that names such files, or an archive (.zip, .tar, "
    ".tar.gz, .tgz) of one of these"
)


def recognise(
    path: Path,
    raw: RawKind,
    columns: Columns,
    scratch: Path,
    *,
    labelling: Labelling = "required",
    packing: archives.ArchiveRules | None = None,
    follow_symlinks: bool = False,
    progress: Progress = silent,
) -> Source:
    """Return what kind of source a path is.

    Args:
        path: a folder, a table or an archive.
        raw: the raw kind of its examples.
        columns: columns of the table; naming any of them says that a table is meant.
        scratch: folder that archives are unpacked into, each in a folder named by its content.
        labelling: where labels come from; a folder without any is a source unless they are required.
        packing: what an archive may hold, and how its names are read.
        follow_symlinks: whether symbolic links stand for what they lead to; those of an archive never do.
        progress: called while an archive is unpacked.

    Raises:
        NoInputError: nothing is there.
        AccessError: it may not be read.
        StorageError: reading it failed.
        DataError: it is none of the known layouts, or could be two; says what was found and expected.
    """
    try:
        where = _resolved(path)
        if stat.S_ISREG(where.stat().st_mode):
            return _file(where, raw, columns, scratch, labelling, packing, follow_symlinks, progress)
        if where.is_dir():
            return _folder(where, Selection(raw, follow_symlinks), columns, printable(str(path)), labelling)
    except (FileNotFoundError, NotADirectoryError):
        raise NoInputError("no data", got=f"{path}, which does not exist", todo="check the path") from None
    except PermissionError as error:
        raise AccessError(
            "no permission to read the data",
            got=error.filename and os.fsdecode(error.filename),
            todo="change its permissions",
        ) from None
    except OSError as error:
        raise StorageError(
            f"the data {path} cannot be read", got=error.strerror or error, todo="check the path and the disk"
        ) from error
    raise DataError(f"{path} is not a source of examples", got="a special file", expected=_LAYOUTS)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except RuntimeError:
        raise NoInputError(
            "no data", got=f"{path}, a symbolic link that leads to itself", todo="check the path"
        ) from None


def _file(
    path: Path,
    raw: RawKind,
    columns: Columns,
    scratch: Path,
    labelling: Labelling,
    packing: archives.ArchiveRules | None,
    follow_symlinks: bool,
    progress: Progress,
) -> Source:
    if archives.is_archive(path):
        decisions = Decisions()
        folder = archives.unpack(path, scratch, packing, progress, decisions)
        source = _folder(folder, Selection(raw), columns, printable(path.name), labelling)
        source.decisions.update(decisions)
        return source
    if tables.is_table(path):
        return _opener(columns)(path, Selection(raw, follow_symlinks), columns, None)
    if columns.annotations is not None and path.suffix.lower() == coco.SUFFIX:
        return coco.open_file(path, Selection(raw, follow_symlinks), columns)
    raise DataError(
        f"{path} is not a source of examples",
        got=f"a file {path.suffix or 'without extension'}",
        expected=_layouts(columns),
    )


def _layouts(columns: Columns) -> str:
    if columns.beside:
        return _BESIDE.format(", ".join(columns.beside))
    return {None: _LAYOUTS, "boxes": _ANNOTATED, "points": _POINTS}[columns.annotations]


def _folder(path: Path, selection: Selection, columns: Columns, shown: str, labelling: Labelling) -> Source:
    root, raw = os.fsencode(path), selection.raw
    place = _innermost(path, selection)
    listing = folders.list_folder(os.fsencode(place), b"", selection)
    beside = [place / os.fsdecode(name) for name in listing.files if tables.is_table(Path(os.fsdecode(name)))]
    if columns.annotations is not None and not columns.named:
        meant = [table for table in beside if _usable(table, raw, columns)]
        if annotated := _annotated(root, shown, selection, columns, meant):
            return annotated
        beside = meant or beside
        if not beside:
            raise _unknown(shown, path, beside, _layouts(columns))
    if columns.beside and not columns.named:
        meant = [table for table in beside if tables.usable(table, raw, columns)]
        if not meant:
            return side_files.find(root, shown, selection, columns)
        beside = meant
    if raw.rows or columns.named or columns.beside or labelling == "table":
        return _open_tables(shown, beside, selection, columns)
    meant = [table for table in beside if tables.usable(table, raw, columns)]
    bare = labelling == "auto" and not meant and not folders.name_classes(root, selection)
    if bare or labelling == "none":
        return folders.unlabelled(root, shown, selection)
    source = folders.find(root, shown, selection)
    if source is None or (len(source.classes) < 2 and meant):
        if not meant:
            raise _unknown(shown, path, beside)
        return _open_tables(shown, meant, selection, columns)
    _require_one(shown, [source], meant)
    return source


def _annotated(
    root: bytes, shown: str, selection: Selection, columns: Columns, meant: Sequence[Path]
) -> Source | None:
    """Make the source that annotation files in a folder are; None where there are none."""
    finders = [coco.find, voc.find] if columns.annotations == "boxes" else [coco.find]
    sources = [source for find in finders if (source := find(root, shown, selection, columns))]
    _require_one(shown, sources, meant)
    return sources[0] if sources else None


def _require_one(shown: str, sources: Sequence[Source], meant: Sequence[Path]) -> None:
    """Refuse a folder that could be several sources."""
    if not sources or len(sources) + len(meant) == 1:
        return
    described = [source.description for source in sources]
    described += [f"the table {table.name} with an input and a target column" for table in meant]
    todo = "move all but one away"
    if meant:
        todo = f"pass --data {meant[0].name} to use the table, or move the table away to use the rest"
    raise DataError(
        f"the layout of {shown} is ambiguous",
        got=", and ".join(described),
        expected="one source of labels",
        todo=todo,
    )


def _innermost(path: Path, selection: Selection) -> Path:
    """Step through folders that only wrap one other, as archives often have them."""
    for _ in range(folders.MAX_DEPTH):
        listing = folders.list_folder(os.fsencode(path), b"", selection)
        if len(listing.folders) != 1 or listing.files:
            return path
        inner = path / os.fsdecode(listing.folders[0])
        below = folders.list_folder(os.fsencode(inner), b"", selection)
        if not any(tables.is_table(Path(os.fsdecode(name))) for name in below.files):
            return path
        path = inner
    return path


def _open_tables(shown: str, paths: list[Path], selection: Selection, columns: Columns) -> Source:
    """Open the one table there is, or those named train, validation and test."""
    named = {split_named(table.stem): table for table in paths}
    splits = {split: named[split] for split in SPLITS if split in named}
    if "train" in splits and len(splits) == len(paths) > 1:
        return tables.open_split_tables(splits, selection, columns, _opener(columns))
    return _opener(columns)(_only_table(shown, paths), selection, columns, None)


def _usable(table: Path, raw: RawKind, columns: Columns) -> bool:
    if columns.annotations == "boxes":
        return box_table.is_box_table(table, columns)
    return tables.usable(table, raw, columns)


def _opener(columns: Columns) -> tables.Opener:
    return box_table.open_table if columns.annotations == "boxes" else tables.open_table


def _only_table(shown: str, paths: list[Path]) -> Path:
    if len(paths) == 1:
        return paths[0]
    raise DataError(
        f"{shown} does not contain exactly one table",
        got=", ".join(table.name for table in paths[:6]) or "none",
        expected="one .csv, .tsv or .parquet, or one each named train, val and test",
        todo="pass the table itself as --data",
    )


def _unknown(shown: str, path: Path, beside: list[Path], expected: str = _LAYOUTS) -> DataError:
    listing = folders.list_folder(os.fsencode(path))
    todo = "sort the files into one folder for each class"
    if expected != _LAYOUTS:
        todo = "pass the file of annotations, or the folder that holds images and annotations"
    if beside:
        todo = "name the columns with --input-column and --target-column"
    elif packed := [name for name in map(os.fsdecode, listing.files) if archives.is_archive(Path(name))]:
        todo = f"pass the archive itself: --data {os.path.join(shown, packed[0])}"
    elif folders.count_links(listing):
        todo = FOLLOW
    return DataError(
        f"{shown} is not a source of examples", got=folders.describe(listing), expected=expected, todo=todo
    )
