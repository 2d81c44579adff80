"""Turn the rows of one table into entries: rows, texts, or the files that they name."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from features.decisions import Decisions
from features.names import counted, escape, setting, suffix_of
from features.sources.candidates import Candidate, Entry, Rejected, Skipped, TableOptions, split_named
from features.sources.selection import Selection
from features.sources.tables import cells
from features.sources.tables.columns import Places
from features.sources.tables.delimited import Broken, Row
from features.sources.tables.nearby import Nearby

#: Files that are not there whose likely cause is looked for.
_EXPLAINED = 20
_SLASHES, _ENDING, _STRIPPED = (
    "backslashes read as slashes",
    "read with the ending",
    "read without blanks around it",
)


class RowReader:
    """Reads the rows of one table.

    Args:
        root: the table's folder.
        table: its name.
        selection: the raw kind of the examples, and whether links to them are followed.
        places: of the columns.
        several: whether a target is a line of CSV of all its columns.
        gaps: whether cells of such a target may be missing; they are then left empty.
        options: how files are found, and which labels are missing.
    """

    def __init__(
        self,
        root: bytes,
        table: str,
        selection: Selection,
        places: Places,
        options: TableOptions,
        *,
        several: bool = False,
        gaps: bool = False,
    ) -> None:
        self._several, self._gaps = several, gaps
        self._root, self._table, self._places = root, table, places
        self._selection, self._raw = selection, selection.raw
        self._options, self._nearby = options, Nearby(root, self._raw.suffixes)
        self._parent_is_real = lru_cache(maxsize=100_000)(self._is_real)
        self._missing_cells = cells.gaps(cells.MISSING_WORDS)
        self._explained = 0
        self._missing_labels: Counter[str] = Counter()
        self._words: Counter[str] = Counter()
        self._rewritten: dict[str, tuple[str, int]] = {}

    def record(self, decisions: Decisions) -> None:
        """Add what was decided about cells to the decisions."""
        for label, count in self._missing_labels.items():
            how = f"{counted(count, 'row')}; {setting('data.missing_labels', [])} makes it a class"
            decisions.add("label", label, "taken for a missing label", how, warning=True)
        for label, count in self._words.items():
            how = f"{counted(count, 'row')}; {setting('data.drop', [label])} leaves them out"
            decisions.add("label", label, "taken for a class, not for a missing label", how, warning=True)
        for how, (cell, count) in self._rewritten.items():
            decisions.add("path", cell, how, counted(count, "row"))

    def entry(self, row: "Row | Broken") -> Entry:
        """Check one row, and look at the file it names without opening it."""
        if isinstance(row, Broken):
            return self._rejected(row, row.reason, row.detail, row.offset)
        name = escape(f"{self._table}:{row.number}")
        if not row.cells:
            return Skipped(name, "blank_row")
        places = self._places
        inputs, targets = ([row.cells[place] for place in part] for part in (places.inputs, places.targets))
        split, fold, block = (
            None if place is None else row.cells[place] for place in (places.split, places.fold, places.block)
        )
        one = self._raw.rows and len(inputs) == 1
        if self._gaps:
            targets = ["" if cells.lowered(cell.strip()) in self._missing_cells else cell for cell in targets]
        for role, filled in (
            ("input", one or any(map(str.strip, inputs))),
            ("target", self._gaps or all(map(str.strip, targets))),
            ("block", block is None or block.strip()),
        ):
            if not filled:
                return self._rejected(row, "missing_value", f"the row has no {role}")
        for target in () if self._gaps else targets:
            if self._is_missing(target.strip()):
                detail = f"the label is {target.strip()!r}, which data.missing_labels takes for a missing one"
                return self._rejected(row, "missing_value", detail)
        known = None
        if self._places.split is not None and (known := split_named(split or "")) is None:
            return self._rejected(
                row, "unknown_split", f"the split is {split!r}; expected train, validation or test"
            )
        label = cells.line(targets) if self._several else targets[0]
        if self._raw.cells:
            text = cells.line(inputs) if self._raw.rows else inputs[0]
            content = text.encode("utf-8")
            return Candidate(None, name, label, known, fold or None, block, row.number, content, row.line)
        return self._file(
            row, inputs[0], Candidate(None, name, label, known, fold or None, block, row.number)
        )

    def _is_missing(self, label: str) -> bool:
        if label in self._options.missing_labels:
            self._missing_labels[label] += 1
            return True
        if label.lower() in ("none", "null"):
            self._words[label] += 1
        return False

    def _file(self, row: Row, cell: str, candidate: Candidate) -> Entry:
        """Look at the file that a row names; the candidate has everything else of it."""
        relative = self._located(cell)
        if _leaves(relative):
            return self._absent(row, "outside_folder", f"the path {cell!r} leaves the table's folder", cell)
        shown, suffix = escape(relative), suffix_of(relative)
        path = os.path.join(self._root, relative)
        real = os.path.realpath(path) if self._selection.follow_symlinks else path
        try:
            mode = os.lstat(real).st_mode
        except FileNotFoundError:
            if suffix and suffix not in self._raw.suffixes and not self._options.suffix:
                return self._unsupported(row, cell, shown, suffix)
            return self._absent(row, "missing", f"there is no file {cell!r} in the table's folder", cell)
        except (OSError, ValueError) as error:
            return self._rejected(row, "unreadable", f"{cell!r}: {error}")
        if stat.S_ISDIR(mode):
            return self._rejected(row, "not_a_file", f"{cell!r} is a folder")
        if stat.S_ISLNK(mode) or (real == path and not self._parent_is_real(path.rpartition(b"/")[0])):
            return Skipped(shown, "symlink", suffix, self._selection.names(relative))
        if not stat.S_ISREG(mode):
            return Skipped(shown, "special_file", suffix)
        if suffix not in self._raw.suffixes and not self._selection.takes(real):
            return Skipped(shown, "unsupported_extension", suffix, suffix in self._raw.lookalikes)
        link = None if real == path else relative
        return replace(candidate, path=real, name=shown, line=row.line, link=link)

    def _unsupported(self, row: Row, cell: str, shown: str, suffix: str) -> Entry:
        """Pass over a name of another ending, unless the ending is part of a name that lacks its own."""
        cause = self._cause(cell)
        if "--input-suffix" in cause:
            return self._rejected(row, "missing", f"there is no file {cell!r}; {cause}")
        return Skipped(shown, "unsupported_extension", suffix)

    def _located(self, cell: str) -> bytes:
        """Return the path of the file that a cell names, below the root: the first form that exists."""
        forms = list(dict(self._forms(cell)).items())
        paths = [
            os.path.normpath(os.path.join(self._options.folder, form).encode("utf-8")) for form, _ in forms
        ]
        for (_, how), relative in zip(forms, paths, strict=True):
            if (
                not _leaves(relative)
                and b"\0" not in relative
                and os.path.lexists(os.path.join(self._root, relative))
            ):
                if how:
                    first, count = self._rewritten.get(how, (cell, 0))
                    self._rewritten[how] = (first, count + 1)
                return relative
        return paths[0]

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

    def _absent(self, row: Row, reason: str, detail: str, cell: str) -> Rejected:
        """Refuse a row whose file is not there, with the likely cause."""
        cause = self._cause(cell)
        # Of a path that leads elsewhere only the file that is meant is worth a word.
        fits = reason == "missing" or cause.startswith(("'", '"'))
        return self._rejected(row, reason, f"{detail}; {cause}" if cause and fits else detail)

    def _cause(self, cell: str) -> str:
        self._explained += 1
        return self._nearby.cause(cell) if self._explained <= _EXPLAINED else ""

    def _is_real(self, folder: bytes) -> bool:
        return os.path.realpath(folder) == folder

    def _rejected(self, row: "Row | Broken", reason: str, detail: str, offset: int | None = None) -> Rejected:
        table = os.fsencode(self._table)
        return Rejected(table, reason, detail, row.number, row.line, offset)


def _leaves(relative: bytes) -> bool:
    return relative.startswith((b"/", b"../")) or relative == b".."
