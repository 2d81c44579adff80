"""Splits of annotated images: by a folder, by the name of a file, or by the lists of Pascal VOC."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from features.names import escape, stem_of
from features.quarantine import RefusedError
from features.sources.files.candidates import Entry, Skipped, label_of, split_named
from features.storage.files import read_file

_LISTS = os.path.join(b"ImageSets", b"Main")
_MOST_BYTES = 64 << 20


def is_split(part: bytes) -> bool:
    """Return whether a folder's name is that of a split."""
    return split_named(label_of(part)) is not None


def named_by_folder(relative: bytes) -> str | None:
    """Return the split that the first folder of such a name on a file's path says; None without one."""
    parts = os.path.split(relative)[0].split(b"/")
    return next((split for part in parts if (split := split_named(label_of(part)))), None)


def named_by_file(relative: bytes) -> str | None:
    """Return the split in a file's name, as in ``instances_train2017.json``, else that of its folder."""
    words = re.split(r"[^a-z]+", label_of(os.path.split(relative)[1]).lower())
    return next((split for word in words if (split := split_named(word))), None) or named_by_folder(relative)


@dataclass(frozen=True)
class SetLists:
    """The lists ``ImageSets/Main/train.txt`` and the like.

    Attributes:
        splits: by the folder that holds ImageSets and a file's stem, the splits that list it.
        files: names of the lists, as shown.
    """

    splits: dict[tuple[bytes, bytes], list[str]]
    files: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.splits)

    def of(self, relative: bytes) -> list[str]:
        """Return the splits that list a file."""
        folder, name = os.path.split(relative)
        stem = stem_of(name)
        while True:
            if listed := self.splits.get((folder, stem)):
                return listed
            if not folder:
                return []
            folder = os.path.split(folder)[0]

    def holds(self, entry: Entry) -> bool:
        """Return whether an entry is one of the lists."""
        return isinstance(entry, Skipped) and entry.name in self.files


def lists(root: bytes, annotations: Iterable[bytes]) -> SetLists:
    """Read the lists beside the folders of annotation files.

    Args:
        root: absolute path of the source.
        annotations: paths of the files below it.
    """
    homes = {os.path.split(os.path.split(relative)[0])[0] for relative in annotations}
    splits: dict[tuple[bytes, bytes], list[str]] = {}
    files = set()
    for home in sorted(homes):
        for name in _names(os.path.join(root, home, _LISTS)):
            relative = os.path.join(home, _LISTS, name)
            split = split_named(label_of(stem_of(name))) or "train"
            for stem in _stems(os.path.join(root, relative)):
                listed = splits.setdefault((home, stem), [])
                listed += [split] if split not in listed else []
            files.add(escape(relative))
    return SetLists(splits, frozenset(files))


def _names(folder: bytes) -> list[bytes]:
    """List the names of the lists in a folder; ``trainval.txt`` counts where there is no ``train.txt``."""
    try:
        with os.scandir(folder) as entries:
            there = {entry.name for entry in entries if entry.name.endswith(b".txt")}
    except OSError:
        return []
    names = sorted(name for name in there if is_split(stem_of(name)))
    return names if b"train.txt" in names or b"trainval.txt" not in there else [*names, b"trainval.txt"]


def _stems(path: bytes) -> list[bytes]:
    try:
        content, _ = read_file(path, _MOST_BYTES)
    except RefusedError:
        return []
    return [line.split()[0] for line in content.splitlines() if line.strip()]
