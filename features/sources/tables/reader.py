"""Turn the rows of one table into entries: rows, texts, or the files that they name."""

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from features.decisions import Decisions
from features.names import counted, escape, setting
from features.quarantine import RefusedError
from features.sources.files.candidates import Candidate, Entry, Rejected, Skipped, TableOptions, split_named
from features.sources.files.named_files import NamedFiles
from features.sources.files.selection import Selection
from features.sources.files.side_files import SideFiles
from features.sources.tables import cells
from features.sources.tables.columns import Places
from features.sources.tables.delimited import Broken, Row

#: Rows whose objects are downloaded before the first of them is looked at.
_AHEAD = 1000


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
        beside: endings of the files that hold the targets, where no column does.
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
        beside: Sequence[str] = (),
    ) -> None:
        self._several, self._gaps = several, gaps
        self._table, self._places = table, places
        self._raw, self._options = selection.raw, options
        self._files = NamedFiles(root, selection, options)
        self._has_beside = bool(beside)
        self._beside = SideFiles(root, beside, follow_symlinks=selection.follow_symlinks)
        self._missing_cells = cells.gaps(cells.MISSING_WORDS)
        self._missing_labels: Counter[str] = Counter()
        self._words: Counter[str] = Counter()

    def record(self, decisions: Decisions) -> None:
        """Add what was decided about cells to the decisions."""
        for label, count in self._missing_labels.items():
            how = f"{counted(count, 'row')}; {setting('data.missing_labels', [])} makes it a class"
            decisions.add("label", label, "taken for a missing label", how, warning=True)
        for label, count in self._words.items():
            how = f"{counted(count, 'row')}; {setting('data.drop', [label])} leaves them out"
            decisions.add("label", label, "taken for a class, not for a missing label", how, warning=True)
        self._files.record(decisions)
        self._beside.record(decisions)

    def entries(self, rows: Iterable["Row | Broken"]) -> Iterator[Entry]:
        """Check every row; objects that they name are downloaded, many at a time."""
        if self._raw.cells or self._options.objects is None:
            yield from map(self.entry, rows)
            return
        left, place = iter(rows), self._places.inputs[0]
        while part := list(itertools.islice(left, _AHEAD)):
            self._files.bring(row.cells[place] for row in part if not isinstance(row, Broken) and row.cells)
            yield from map(self.entry, part)

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
        split_name = None
        if self._places.split is not None and (split_name := split_named(split or "")) is None:
            return self._rejected(
                row, "unknown_split", f"the split is {split!r}; expected train, validation or test"
            )
        label = cells.line(targets) if self._several else "".join(targets)
        if self._raw.cells:
            text = cells.line(inputs) if self._raw.rows else inputs[0]
            content = text.encode("utf-8")
            return Candidate(
                None, name, label, split_name, fold or None, block, row.number, content, row.line
            )
        candidate = Candidate(None, name, label, split_name, fold or None, block, row.number, line=row.line)
        entry = self._files.entry(inputs[0], candidate, os.fsencode(self._table))
        if places.targets or not self._has_beside or not isinstance(entry, Candidate):
            return entry
        return self._with_side_file(entry, row)

    def _with_side_file(self, candidate: Candidate, row: Row) -> Entry:
        """Read the target of a file that the table gives none for."""
        try:
            return self._beside.labelled(candidate)
        except RefusedError as refusal:
            return self._rejected(row, refusal.reason, refusal.detail)

    def _is_missing(self, label: str) -> bool:
        if label in self._options.missing_labels:
            self._missing_labels[label] += 1
            return True
        if label.lower() in ("none", "null"):
            self._words[label] += 1
        return False

    def _rejected(self, row: "Row | Broken", reason: str, detail: str, offset: int | None = None) -> Rejected:
        table = os.fsencode(self._table)
        return Rejected(table, reason, detail, row.number, row.line, offset)
