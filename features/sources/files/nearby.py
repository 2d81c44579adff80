"""Why a file that a table names is not there: what else lies in the table's folder, and how it is called."""

import os
import posixpath
import re
from collections import defaultdict
from functools import cached_property
from urllib.parse import unquote

from features.names import escape

#: Files and levels of folders that are looked at.
_MOST, _DEEP = 200_000, 8
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:/")


class Nearby:
    """The files in a folder and below it.

    Args:
        root: the folder.
        suffixes: endings of the files that are meant.
    """

    def __init__(self, root: bytes, suffixes: frozenset[str]) -> None:
        self._root, self._suffixes = root, suffixes

    @cached_property
    def _files(self) -> dict[str, list[str]]:
        """The paths below the root by file name, in small letters."""
        paths_by_name: dict[str, list[str]] = defaultdict(list)
        folders, count = [(self._root, b"", 0)], 0
        while folders and count < _MOST:
            folder, below, depth = folders.pop(0)
            for entry in _listed(folder):
                count += 1
                relative = os.path.join(below, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    folders += [(entry.path, relative, depth + 1)] if depth < _DEEP else []
                else:
                    paths_by_name[escape(entry.name).lower()].append(escape(relative))
        return paths_by_name

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        """The paths of files of the right kind by their name without the ending."""
        paths_by_stem: dict[str, list[str]] = defaultdict(list)
        for name, paths in self._files.items():
            stem, ending = posixpath.splitext(name)
            if ending in self._suffixes:
                paths_by_stem[stem] += paths
        return paths_by_stem

    def cause(self, cell: str) -> str:
        """Explain in part of a sentence why there is no such file and what to do; may be empty.

        Args:
            cell: the path as the table has it.
        """
        text = cell.strip()
        if _ADDRESS.match(text) and not text.lower().startswith("file:"):
            return "it is an address: download the files, and name them by their path"
        plain = unquote(re.sub("^file:/*", "/", text, flags=re.IGNORECASE)).replace("\\", "/")
        name = plain.rpartition("/")[2]
        if not name:
            return ""
        if paths := self._files.get(name.lower()):
            return self._under_another_path(text, plain, name, paths)
        if paths := self._by_stem.get(name.lower()):
            return _with_ending(plain, paths)
        stem = posixpath.splitext(name)[0].lower()
        if paths := self._by_stem.get(stem):
            return f"{paths[0]!r} is there, of another ending"
        example = next((path for paths in self._by_stem.values() for path in paths), None)
        return f"files there are called as {example!r} is" if example else "no file of this kind is there"

    def _under_another_path(self, text: str, plain: str, name: str, paths: list[str]) -> str:
        exact = [path for path in paths if path.rpartition("/")[2] == name]
        path = (exact or paths)[0]
        if not exact or path.lower() == os.path.normpath(plain).lower() != os.path.normpath(plain):
            why = "capitals and small letters differ" if path != plain else "it is written otherwise"
            return f"{path!r} is there: {why}"
        if unquote(text) != text and path == os.path.normpath(unquote(text)):
            return f"{path!r} is there: the name is percent-encoded"
        if plain.startswith("/") or _DRIVE.match(plain):
            return f"{path!r} is there: write paths relative to the table"
        folder = path.removesuffix(os.path.normpath(plain)).rstrip("/")
        return f"{path!r} is there" + (f": add --input-folder {folder}" if folder and folder != path else "")


def _with_ending(plain: str, paths: list[str]) -> str:
    path = paths[0]
    without, ending = posixpath.splitext(path)
    folder = without.removesuffix(os.path.normpath(plain)).rstrip("/")
    options = f"--input-suffix {ending}" + (
        f" --input-folder {folder}" if folder and folder != without else ""
    )
    return f"{path!r} is there: add {options}"


def _listed(folder: bytes) -> list[os.DirEntry[bytes]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((one for one in entries if not one.name.startswith(b".")), key=lambda one: one.name)
    except OSError:
        return []
