"""Folders as a source: class-named folders, and train/val/test folders of class folders."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from features.candidates import Candidate, Entry, Rejected, Skipped, Source, label_of, split_named
from features.errors import DataError
from features.names import escape, suffix_of

#: Folders further down are passed over.
MAX_DEPTH = 32

_SYSTEM = frozenset(
    {b"__macosx", b"thumbs.db", b"desktop.ini", b"$recycle.bin", b"system volume information"}
)


@dataclass(frozen=True)
class Listing:
    """One folder's own entries, sorted by name: sub-folders, files, and what is passed over or unreadable."""

    folders: tuple[bytes, ...]
    files: tuple[bytes, ...]
    others: tuple[Entry, ...]


def list_folder(path: bytes, relative: bytes = b"") -> Listing:
    """List a folder without following links or opening anything.

    Args:
        path: of the folder.
        relative: the same below the source, for the names of what is passed over.

    Raises:
        OSError: the folder cannot be read.
    """
    folders, files, others = [], [], []
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = os.path.join(relative, entry.name)
            if reason := skip_reason(entry):
                others.append(Skipped(escape(name), reason))
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                files.append(entry.name)
    return Listing(tuple(folders), tuple(files), tuple(others))


def skip_reason(entry: os.DirEntry[bytes]) -> str | None:
    """Say why an entry is passed over whatever its ending, or None."""
    if entry.name.startswith(b"."):
        return "hidden"
    if entry.name.lower() in _SYSTEM:
        return "system_file"
    if entry.is_symlink():
        return "symlink"
    if not entry.is_dir(follow_symlinks=False) and not entry.is_file(follow_symlinks=False):
        return "special_file"
    return None


def find(root: bytes, suffixes: frozenset[str]) -> Source | None:
    """Find class folders or split folders in root, or below a single folder that wraps them.

    Returns:
        The source, or None where root holds no folders of folders or files to label.

    Raises:
        DataError: the layout can be read in two ways.
        OSError: root cannot be read.
    """
    listing = list_folder(root)
    top, around = b"", list(_around(listing, b"", suffixes))
    while len(listing.folders) == 1 and split_named(label_of(listing.folders[0])) is None:
        inner = os.path.join(top, listing.folders[0])
        below = list_folder(os.path.join(root, inner), inner)
        if not below.folders:
            break
        top, listing = inner, below
        around += _around(listing, top, suffixes)
    if not listing.folders:
        return None
    splits = {name: split for name in listing.folders if (split := split_named(label_of(name)))}
    with_classes = {name for name in splits if list_folder(os.path.join(root, top, name)).folders}
    if not with_classes:
        if len(splits) == len(listing.folders):
            raise _no_classes(root, top, splits)
        return _class_folders(root, top, listing, around, suffixes)
    _require_clean_splits(root, top, listing, splits, with_classes)
    return _split_folders(root, top, splits, around, suffixes)


def _no_classes(root: bytes, top: bytes, splits: dict[bytes, str]) -> DataError:
    return DataError(
        f"{_show(root, top)} has split folders without class folders in them",
        got=_names(splits),
        expected="train/<class>/<file>, and the same below val and test",
        todo="sort the files into one folder for each class",
    )


def _require_clean_splits(
    root: bytes, top: bytes, listing: Listing, splits: dict[bytes, str], with_classes: set[bytes]
) -> None:
    place = _show(root, top)
    others = [name for name in listing.folders if name not in with_classes]
    if others:
        raise DataError(
            f"the layout of {place} is ambiguous",
            got=f"split folders {_names(with_classes)} beside {_names(others)}",
            expected="either split folders of class folders alone, or class folders alone",
            todo="move the other folders away",
        )
    if "train" not in splits.values():
        raise DataError(
            f"{place} has no training split",
            got=f"folders {_names(splits)}",
            expected="a folder train beside them",
        )
    if len(set(splits.values())) < len(splits):
        raise DataError(
            f"{place} has two folders for one split",
            got=", ".join(f"{escape(name)} ({split})" for name, split in splits.items()),
            expected="at most one each for train, validation and test",
            todo="merge or rename them",
        )


def _class_folders(
    root: bytes, top: bytes, listing: Listing, around: list[Entry], suffixes: frozenset[str]
) -> Source:
    classes = tuple(label_of(name) for name in listing.folders)

    def scan() -> Iterator[Entry]:
        yield from around
        for name in listing.folders:
            yield from _walk(root, os.path.join(top, name), label_of(name), None, suffixes)

    description = f"{len(classes)} class folders in {_show(root, top)}"
    return Source("class-folders", description, root, classes, (), scan)


def _split_folders(
    root: bytes, top: bytes, splits: dict[bytes, str], around: list[Entry], suffixes: frozenset[str]
) -> Source:
    listings = {name: list_folder(os.path.join(root, top, name), os.path.join(top, name)) for name in splits}
    classes = {label_of(name) for listing in listings.values() for name in listing.folders}

    def scan() -> Iterator[Entry]:
        yield from around
        for folder, listing in listings.items():
            yield from _around(listing, os.path.join(top, folder), suffixes)
            for name in listing.folders:
                yield from _walk(
                    root, os.path.join(top, folder, name), label_of(name), splits[folder], suffixes
                )

    description = f"folders {_names(splits)} with {len(classes)} classes in {_show(root, top)}"
    return Source("split-folders", description, root, tuple(sorted(classes)), tuple(splits.values()), scan)


def _around(listing: Listing, relative: bytes, suffixes: frozenset[str]) -> Iterator[Entry]:
    """Account for what stands beside the class folders."""
    yield from listing.others
    for name in listing.files:
        suffix = suffix_of(name)
        known = suffix in suffixes or not suffix
        reason = "outside_class_folder" if known else "unsupported_extension"
        yield Skipped(escape(os.path.join(relative, name)), reason, suffix)


def _walk(
    root: bytes, top: bytes, label: str, split: str | None, suffixes: frozenset[str]
) -> Iterator[Entry]:
    """Yield every entry of a class folder and of the folders below it, depth first, sorted by name."""
    waiting = [(top, 0)]
    while waiting:
        folder, depth = waiting.pop()
        try:
            listing = list_folder(os.path.join(root, folder), folder)
        except OSError as error:
            yield Rejected(folder, "unreadable", f"the folder cannot be listed: {error.strerror}")
            continue
        yield from listing.others
        for name in listing.files:
            relative = os.path.join(folder, name)
            suffix = suffix_of(name)
            if suffix and suffix not in suffixes:
                yield Skipped(escape(relative), "unsupported_extension", suffix)
            else:
                yield Candidate(os.path.join(root, relative), escape(relative), label, split)
        for name in reversed(listing.folders):
            relative = os.path.join(folder, name)
            if depth + 1 > MAX_DEPTH:
                yield Skipped(escape(relative), "too_deep")
            else:
                waiting.append((relative, depth + 1))


def is_regular(path: bytes) -> bool:
    """Say whether path is a file, without following a link."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _show(root: bytes, top: bytes) -> str:
    return escape(os.path.join(root, top).rstrip(b"/"))


def _names(names: "dict[bytes, str] | set[bytes] | list[bytes]") -> str:
    shown = [f"{escape(name)}/" for name in sorted(names)]
    return ", ".join(shown[:6]) + (f" and {len(shown) - 6} more" if len(shown) > 6 else "")


def describe(root: Path, listing: Listing) -> str:
    """Say in a few words what a folder holds, for a message."""
    endings: dict[str, int] = {}
    for name in listing.files:
        endings[suffix_of(name) or "no ending"] = endings.get(suffix_of(name) or "no ending", 0) + 1
    files = ", ".join(f"{count} x {ending}" for ending, count in sorted(endings.items())) or "no files"
    folders = _names(list(listing.folders)) if listing.folders else "no folders"
    return f"{folders} and {files}"
