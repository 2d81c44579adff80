"""Folders as a source: class-named folders, and train/val/test folders of class folders."""

import errno
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from features.errors import DataError
from features.names import escape, suffix_of
from features.sources.files.candidates import (
    Candidate,
    Entry,
    Rejected,
    Skipped,
    Source,
    label_of,
    split_named,
)
from features.sources.files.selection import Selection

#: Folders further down are passed over.
MAX_DEPTH = 32

_OUTSIDE = "outside_class_folder"
_SYSTEM = frozenset(
    {b"__macosx", b"thumbs.db", b"desktop.ini", b"$recycle.bin", b"system volume information"}
)


@dataclass(frozen=True)
class Listing:
    """One folder's own entries, sorted by name: sub-folders, files, and what is passed over or unreadable."""

    folders: tuple[bytes, ...]
    files: tuple[bytes, ...]
    others: tuple[Entry, ...]


def list_folder(path: bytes, relative: bytes = b"", selection: Selection | None = None) -> Listing:
    """List a folder without opening anything.

    Args:
        path: of the folder.
        relative: the same below the source, for the names of what is passed over.
        selection: whether links are followed, and what looks like an example; None follows none.

    Raises:
        OSError: the folder cannot be read.
    """
    folders, files, others = [], [], []
    follow = selection is not None and selection.follow_symlinks
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if passed := _passed_over(entry, os.path.join(relative, entry.name), selection):
                others.append(passed)
            elif entry.is_dir(follow_symlinks=follow):
                folders.append(entry.name)
            else:
                files.append(entry.name)
    return Listing(tuple(folders), tuple(files), tuple(others))


def _passed_over(entry: os.DirEntry[bytes], name: bytes, selection: Selection | None) -> Entry | None:
    """Account for an entry that is not listed whatever its ending; None for any other."""
    follow = selection is not None and selection.follow_symlinks
    if entry.name.startswith(b"."):
        return Skipped(escape(name), "hidden")
    if entry.name.lower() in _SYSTEM:
        return Skipped(escape(name), "system_file")
    if entry.is_symlink():
        if not follow:
            meant = selection is not None and selection.names(entry.name)
            return Skipped(escape(name), "symlink", suffix_of(entry.name), meant)
        if broken := _broken_link(entry.path, name):
            return broken
    if not entry.is_dir(follow_symlinks=follow) and not entry.is_file(follow_symlinks=follow):
        return Skipped(escape(name), "special_file")
    return None


def _broken_link(path: bytes, name: bytes) -> Entry | None:
    """Account for a link that leads nowhere, or to a folder it lies in; None for any other."""
    try:
        target = os.path.realpath(path, strict=True)
        holder = os.path.realpath(path.rpartition(b"/")[0])
    except OSError as error:
        destination = escape(os.fsencode(Path(os.fsdecode(path)).readlink()))
        itself = error.errno == errno.ELOOP
        what = "which leads to itself" if itself else (error.strerror or str(error)).lower()
        return Rejected(name, "missing", f"a symbolic link to {destination}: {what}")
    inside = os.path.join(holder, b"").startswith(os.path.join(target, b""))
    return Skipped(escape(name), "symlink_loop") if inside else None


#: Real paths that were met, each with the label and split it was met under.
_Met = set[tuple[bytes, str, str | None]]


@dataclass(frozen=True)
class _Tree:
    """A folder that holds class folders somewhere: its path, its name for messages, and what is taken."""

    root: bytes
    shown: str
    selection: Selection

    def list(self, relative: bytes) -> Listing:
        return list_folder(os.path.join(self.root, relative), relative, self.selection)

    def show(self, relative: bytes) -> str:
        return os.path.join(self.shown, escape(relative)) if relative else self.shown

    def around(self, listing: Listing, relative: bytes) -> Iterator[Entry]:
        """Account for what stands beside class folders."""
        yield from listing.others
        for name in listing.files:
            path = os.path.join(self.root, relative, name)
            supported = self.selection.takes(path)
            reason = _OUTSIDE if supported else "unsupported_extension"
            resembles = supported and self.selection.resembles(path)
            yield Skipped(escape(os.path.join(relative, name)), reason, suffix_of(name), resembles)

    def walk(self, top: bytes, label: str, split: str | None, met: _Met) -> Iterator[Entry]:
        """Yield every entry of a class folder and of the folders below it, depth first, sorted by name."""
        waiting = [(top, 0)]
        while waiting:
            folder, depth = waiting.pop()
            if self._met_before(folder, label, split, met):
                yield Skipped(escape(folder), "linked_twice")
                continue
            try:
                listing = self.list(folder)
            except OSError as error:
                yield Rejected(folder, "unreadable", f"the folder cannot be listed: {error.strerror}")
                continue
            yield from listing.others
            for name in listing.files:
                yield self.entry(os.path.join(folder, name), label, split, met)
            for name in reversed(listing.folders):
                relative = os.path.join(folder, name)
                if depth < MAX_DEPTH:
                    waiting.append((relative, depth + 1))
                else:
                    yield Skipped(escape(relative), "too_deep")

    def entry(self, relative: bytes, label: str, split: str | None, met: _Met) -> Entry:
        """Return what one file of a class folder is."""
        path = os.path.join(self.root, relative)
        real = os.path.realpath(path) if self.selection.follow_symlinks else path
        suffix = suffix_of(relative)
        # The link's own name counts as well: caches of downloads link names to hashes.
        if suffix not in self.selection.raw.suffixes and not self.selection.takes(real):
            resembles = suffix in self.selection.raw.lookalikes
            return Skipped(escape(relative), "unsupported_extension", suffix, resembles)
        if self._met_before(relative, label, split, met):
            return Skipped(escape(relative), "linked_twice", suffix)
        return Candidate(real, escape(relative), label, split, link=None if real == path else relative)

    def _met_before(self, relative: bytes, label: str, split: str | None, met: _Met) -> bool:
        """Note a real path; without links there is one way to each alone."""
        if not self.selection.follow_symlinks:
            return False
        key = (os.path.realpath(os.path.join(self.root, relative)), label, split)
        duplicate = key in met
        met.add(key)
        return duplicate


def walk(root: bytes, selection: Selection) -> Iterator[bytes | Skipped | Rejected]:
    """Yield the files of a folder and of those below it, relative to it, depth first, sorted by name.

    Args:
        root: absolute path of the folder.
        selection: the files that are meant; what else there is comes as passed over.
    """
    for entry in _Tree(root, "", selection).walk(b"", "", None, set()):
        if not isinstance(entry, Candidate):
            yield entry
        elif entry.path is not None:
            yield os.path.relpath(entry.path, root)


def find(root: bytes, shown: str, selection: Selection) -> Source | None:
    """Find class folders or split folders in root, or below a single folder that wraps them.

    Args:
        root: absolute path of the folder.
        shown: what messages call it.
        selection: the files that are meant, and whether links are followed.

    Returns:
        The source, or None where root holds no folders.

    Raises:
        DataError: the layout can be read in two ways.
        OSError: root cannot be read.
    """
    tree = _Tree(root, shown, selection)
    top, listing, around = _unwrap(tree)
    if not listing.folders:
        return None
    splits = {name: split for name in listing.folders if (split := split_named(label_of(name)))}
    with_classes = {name for name in splits if tree.list(os.path.join(top, name)).folders}
    if with_classes:
        _require_clean_splits(tree.show(top), listing, splits, with_classes)
        return _split_folders(tree, top, splits, around)
    if len(splits) == len(listing.folders):
        raise DataError(
            f"{tree.show(top)} has split folders without class folders in them",
            got=_names(splits),
            expected="train/<class>/<file>, and the same below val and test",
            todo="sort the files into one folder for each class",
        )
    return _class_folders(tree, top, listing, around)


def name_classes(root: bytes, selection: Selection) -> bool:
    """Return whether the folders in root can be classes: two or more, with no file that is meant beside them.

    Arguments and errors as of `find`.
    """
    tree = _Tree(root, "", selection)
    top, listing, around = _unwrap(tree)
    if any(isinstance(one, Skipped) and one.reason == _OUTSIDE and one.resembles for one in around):
        return False
    splits = [name for name in listing.folders if split_named(label_of(name))]
    if splits and len(splits) == len(listing.folders):
        return any(tree.list(os.path.join(top, name)).folders for name in splits)
    return len(listing.folders) > 1


def unlabelled(root: bytes, shown: str, selection: Selection) -> Source:
    """Treat every file below root as an example with an empty label; arguments as of `find`."""
    tree = _Tree(root, shown, selection)
    description = f"files without labels in {shown}"
    return Source("files", description, root, (), (), lambda: tree.walk(b"", "", None, set()))


def _unwrap(tree: _Tree) -> tuple[bytes, Listing, list[Entry]]:
    """Step into folders that only wrap one other; give the path reached, its listing, and what was passed."""
    top, listing = b"", tree.list(b"")
    around = list(tree.around(listing, b""))
    for _ in range(MAX_DEPTH):
        if len(listing.folders) != 1 or split_named(label_of(listing.folders[0])) is not None:
            break
        inner = os.path.join(top, listing.folders[0])
        below = tree.list(inner)
        if not below.folders:
            break
        top, listing = inner, below
        around += tree.around(listing, top)
    return top, listing, around


def _require_clean_splits(
    place: str, listing: Listing, splits: dict[bytes, str], with_classes: set[bytes]
) -> None:
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


def _class_folders(tree: _Tree, top: bytes, listing: Listing, around: list[Entry]) -> Source:
    classes = tuple(label_of(name) for name in listing.folders)

    def scan() -> Iterator[Entry]:
        met: _Met = set()
        yield from around
        for name in listing.folders:
            yield from tree.walk(os.path.join(top, name), label_of(name), None, met)

    description = f"{len(classes)} class folders in {tree.show(top)}"
    return Source("class-folders", description, tree.root, classes, (), scan)


def _split_folders(tree: _Tree, top: bytes, splits: dict[bytes, str], around: list[Entry]) -> Source:
    listings = {name: tree.list(os.path.join(top, name)) for name in splits}
    classes = sorted({label_of(name) for listing in listings.values() for name in listing.folders})

    def scan() -> Iterator[Entry]:
        met: _Met = set()
        yield from around
        for folder, listing in listings.items():
            place = os.path.join(top, folder)
            yield from tree.around(listing, place)
            for name in listing.folders:
                yield from tree.walk(os.path.join(place, name), label_of(name), splits[folder], met)

    description = f"folders {_names(splits)} with {len(classes)} classes in {tree.show(top)}"
    return Source("split-folders", description, tree.root, tuple(classes), tuple(splits.values()), scan)


def describe(listing: Listing) -> str:
    """Describe the contents of a folder in a few words, for a message."""
    endings = Counter(suffix_of(name) or "without ending" for name in listing.files)
    files = ", ".join(f"{count} x {ending}" for ending, count in sorted(endings.items())) or "no files"
    folders = _names(listing.folders) if listing.folders else "no folders"
    links = count_links(listing)
    return f"{folders} and {files}" + (f", but {links} symbolic links" if links else "")


def count_links(listing: Listing) -> int:
    """Count the symbolic links that were not followed."""
    return sum(isinstance(entry, Skipped) and entry.reason == "symlink" for entry in listing.others)


def _names(names: Iterable[bytes]) -> str:
    folder_names = [f"{escape(name)}/" for name in sorted(names)]
    return ", ".join(folder_names[:6]) + (
        f" and {len(folder_names) - 6} more" if len(folder_names) > 6 else ""
    )
