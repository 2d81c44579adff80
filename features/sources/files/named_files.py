"""The files that a table, or a file of annotations, names: where each lies, and whether it may be read."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from features.decisions import Decisions
from features.errors import DataError
from features.names import counted, escape, suffix_of
from features.sources.files.candidates import Candidate, Entry, Rejected, Skipped, TableOptions
from features.sources.files.nearby import Nearby
from features.sources.files.object_copies import Copies
from features.sources.files.selection import Selection
from features.storage.objects import is_url

#: Files that are not there whose likely cause is looked for.
_EXPLAINED = 20
_SLASHES, _ENDING, _STRIPPED = (
    "backslashes read as slashes",
    "read with the ending",
    "read without blanks around it",
)


class NamedFiles:
    """Looks up files by the names that a table has for them, without opening them.

    Args:
        root: folder that the names are relative to, absolute.
        selection: the raw kind of the files, and whether links to them are followed.
        options: folder and ending that the names lack.
        holder: what names the files, for messages.
    """

    def __init__(
        self, root: bytes, selection: Selection, options: TableOptions, holder: str = "table"
    ) -> None:
        self._root, self._holder = root, holder
        self._selection, self._raw = selection, selection.raw
        self._options, self._nearby = options, Nearby(root, self._raw.suffixes)
        self._objects = options.objects
        self._beside = self._objects and self._objects.url(Path(os.fsdecode(root)))
        self._parent_is_real = lru_cache(maxsize=100_000)(self._is_real)
        self._explained = 0
        self._rewritten: dict[str, tuple[str, int]] = {}

    def record(self, decisions: Decisions) -> None:
        """Add how names were read to the decisions."""
        for how, (cell, count) in self._rewritten.items():
            decisions.add("path", cell, how, counted(count, "row"))

    def bring(self, cells: Iterable[str]) -> None:
        """Download the objects that cells name by their URLs, or beside a table that is an object itself.

        Raises:
            AccessError, UnavailableError: the store refuses, or cannot be reached.
            StorageError: the disk is full.
        """
        if self._objects is not None:
            self._objects.bring_each(url for cell in cells for url in self._urls(cell))

    def _urls(self, cell: str) -> Iterator[str]:
        if is_url(cell.strip()):
            yield cell.strip()
        elif self._beside is not None:
            names = [self._relative(form) for form, _ in self._forms(cell)]
            yield from (f"{self._beside}/{os.fsdecode(name)}" for name in names if not _leaves(name))

    def entry(self, cell: str, candidate: Candidate, table: bytes) -> Entry:
        """Look at a file without opening it.

        Args:
            cell: its name as the table has it.
            candidate: everything else of the example.
            table: path of the table below the source.
        """
        root, relative, how = self._find(cell)
        if how:
            first, count = self._rewritten.get(how, (cell, 0))
            self._rewritten[how] = (first, count + 1)
        if _leaves(relative):
            detail = f"the path {cell!r} leaves the {self._holder}'s folder"
            return self._absent(candidate, table, "outside_folder", detail, cell)
        display_name, suffix = escape(relative if root == self._root else cell.strip()), suffix_of(relative)
        path = os.path.join(root, relative)
        real = os.path.realpath(path) if self._selection.follow_symlinks else path
        try:
            mode = os.lstat(real).st_mode
        except FileNotFoundError:
            if suffix and suffix not in self._raw.suffixes and not self._options.suffix:
                return self._unsupported(candidate, table, cell, display_name, suffix)
            detail = f"there is no file {cell!r} in the {self._holder}'s folder"
            return self._absent(candidate, table, "missing", detail, cell)
        except (OSError, ValueError) as error:
            return _rejected(candidate, table, "unreadable", f"{cell!r}: {error}")
        if stat.S_ISDIR(mode):
            return _rejected(candidate, table, "not_a_file", f"{cell!r} is a folder")
        if stat.S_ISLNK(mode) or (real == path and not self._parent_is_real(path.rpartition(b"/")[0])):
            return Skipped(display_name, "symlink", suffix, self._selection.names(relative))
        if not stat.S_ISREG(mode):
            return Skipped(display_name, "special_file", suffix)
        if suffix not in self._raw.suffixes and not self._selection.takes(real):
            return Skipped(display_name, "unsupported_extension", suffix, suffix in self._raw.lookalikes)
        return replace(candidate, path=real, name=display_name, link=None if real == path else relative)

    def located(self, cell: str) -> bytes:
        """Return the path of the file that a cell names, below the root, whether or not it exists."""
        return self._find(cell)[1]

    def _find(self, cell: str) -> tuple[bytes, bytes, str]:
        """Return the first form of a cell's path that exists, its root, and how it differs from the cell."""
        if self._objects is not None and is_url(cell.strip()):
            return self._copied(self._objects, cell.strip())
        forms = list(dict(self._forms(cell)).items())
        paths = [self._relative(form) for form, _ in forms]
        for (_, how), relative in zip(forms, paths, strict=True):
            if (
                not _leaves(relative)
                and b"\0" not in relative
                and os.path.lexists(os.path.join(self._root, relative))
            ):
                return self._root, relative, how
        return self._root, paths[0], ""

    def _copied(self, objects: Copies, url: str) -> tuple[bytes, bytes, str]:
        """Return the folder of all copies, and the path of an object's copy below it."""
        root = os.fsencode(objects.folder)
        try:
            return root, os.path.relpath(os.fsencode(objects.path(url)), root), ""
        except DataError:
            return root, b"..", ""

    def _relative(self, form: str) -> bytes:
        return os.path.normpath(os.path.join(self._options.folder, form).encode("utf-8"))

    def _unsupported(
        self, candidate: Candidate, table: bytes, cell: str, display_name: str, suffix: str
    ) -> Entry:
        """Pass over a name of another ending, unless the ending is part of a name that lacks its own."""
        cause = self._cause(cell)
        if "--input-suffix" in cause:
            return _rejected(candidate, table, "missing", f"there is no file {cell!r}; {cause}")
        return Skipped(display_name, "unsupported_extension", suffix)

    def _forms(self, cell: str) -> Iterator[tuple[str, str]]:
        """Yield a path as the table has it and otherwise written, with what was done to it."""
        suffix = self._options.suffix
        forms = [(cell, "")]
        if cell.strip() != cell:
            forms.append((cell.strip(), _STRIPPED))
        if "\\" in cell:
            forms.append((cell.strip().replace("\\", "/"), _SLASHES))
        for form, how in forms:
            if suffix and not form.lower().endswith(suffix.lower()):
                yield form + suffix, ", ".join(filter(None, (how, f"{_ENDING} {suffix}")))
        yield from forms

    def _absent(self, candidate: Candidate, table: bytes, reason: str, detail: str, cell: str) -> Rejected:
        """Refuse a row whose file is not there, with the likely cause."""
        cause = self._cause(cell)
        # Of a path that leads elsewhere only the file that is meant is worth a word.
        fits = reason == "missing" or cause.startswith(("'", '"'))
        return _rejected(candidate, table, reason, f"{detail}; {cause}" if cause and fits else detail)

    def _cause(self, cell: str) -> str:
        self._explained += 1
        return self._nearby.cause(cell) if self._explained <= _EXPLAINED else ""

    def _is_real(self, folder: bytes) -> bool:
        return os.path.realpath(folder) == folder


def _rejected(candidate: Candidate, table: bytes, reason: str, detail: str) -> Rejected:
    return Rejected(table, reason, detail, candidate.row, candidate.line)


def _leaves(relative: bytes) -> bool:
    return relative.startswith((b"/", b"../")) or relative == b".."
