"""Return how a text table is written: encoding, line ends, delimiter and quoting."""

import codecs
import csv
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import DataError
from features.names import suffix_of
from features.sources.files.candidates import TableOptions
from features.sources.tables import number_format

BOM = b"\xef\xbb\xbf"

#: So much of a file tells its line ends, delimiter and escapes; at most so many rows of it are compared.
_HEAD, _COMPARED = 1 << 20, 50
_MARKS = {
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe\x00\x00": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_DELIMITERS = (",", ";", "\t", "|")
_SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_QUOTED = re.compile(r'"(?P<inside>(?:[^"]|"")*)"')


@dataclass(frozen=True)
class Dialect:
    r"""How a text table is written.

    Attributes:
        encoding: ``utf-8``, or as Python names it.
        newline: ``\n`` (also after a carriage return) or ``\r``.
        delimiter: between fields.
        quoting: ``minimal``, ``escaped`` or ``none``, as of TableOptions.
        header: whether the first row names the columns.
        skipped: lines before the first row.
    """

    encoding: str = "utf-8"
    newline: str = "\n"
    delimiter: str = ","
    quoting: str = "minimal"
    header: bool = True
    skipped: int = 0

    def __str__(self) -> str:
        mark = {"\t": "tab"}.get(self.delimiter, repr(self.delimiter))
        said = [self.encoding.upper(), f"delimiter {mark}", f"quoting {self.quoting}"]
        said += ["lines ended by carriage returns"] if self.newline == "\r" else []
        return ", ".join(said + ([] if self.header else ["no header"]))

    def cut(self, line: str) -> list[str]:
        """Cut a line into its fields, if quotes are ordinary characters."""
        line = line.removesuffix("\n").removesuffix("\r")
        return line.split(self.delimiter) if line else []

    def reader(self, lines: Iterable[str], *, strict: bool = True) -> Iterator[list[str]]:
        """Read records, each of one line or more, where quotes have a meaning."""
        escapes: dict[str, Any] = (
            {"doublequote": False, "escapechar": "\\"} if self.quoting == "escaped" else {}
        )
        return csv.reader(lines, delimiter=self.delimiter, strict=strict, **escapes)


def tell(path: Path, options: TableOptions) -> Dialect:
    """Return how a text table is written, as far as the options do not say.

    Raises:
        DataError: it is text of an encoding that must be named.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    encoding = _encoding(path, head, options.encoding)
    text = head.decode(encoding, "replace").removeprefix("\ufeff")
    newline = "\r" if "\r" in text and "\n" not in text else "\n"
    lines = re.split("\r\n?" if newline == "\r" else "\r?\n", text)
    blank = next((place for place, line in enumerate(lines) if line.strip()), 0)
    sep = _SEP_LINE.fullmatch(lines[blank])
    skipped = blank + (1 if sep else 0)
    sample = [line for line in lines[skipped:] if line][:_COMPARED]
    delimiter = options.delimiter
    if delimiter == "auto":
        delimiter = sep[1] if sep else _delimiter(path, sample)
    plain = Dialect(encoding, newline, delimiter, "minimal", options.header, skipped)
    quoting = _quoting(path, plain, text) if options.quoting == "auto" else options.quoting
    return Dialect(encoding, newline, delimiter, quoting, options.header, plain.skipped)


def _encoding(path: Path, head: bytes, encoding: str) -> str:
    if encoding != "auto":
        name = codecs.lookup(encoding).name
        return "utf-8" if name == "utf-8-sig" else name
    marked = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if marked is None and len(head) > 1 and 3 * head[:1000].count(b"\0") > len(head[:1000]):
        wide = "utf-16-le" if head[1:1000:2].count(b"\0") > head[:1000:2].count(b"\0") else "utf-16-be"
        raise DataError(
            f"table {path} cannot be read",
            got="UTF-16 text without a byte order mark",
            expected="UTF-8 text with a header line",
            todo=f"name its encoding: --set data.encoding={wide}",
        )
    return marked or "utf-8"


def _delimiter(path: Path, sample: list[str]) -> str:
    """Detect the delimiter from the first line, or from the lines after it if that one is ambiguous."""
    tsv = suffix_of(os.fsencode(path.name)) == ".tsv"
    first = sample[0] if sample else ""
    if tsv and "\t" in first:
        return "\t"
    candidates = [mark for mark in _DELIMITERS if mark in re.sub('"[^"]*"', "", first)]
    if not candidates:
        return "\t" if tsv else ","
    return max(candidates, key=lambda mark: _fitness(mark, sample))


def _fitness(mark: str, sample: list[str]) -> tuple[float, int]:
    """Rate a delimiter: lines that it cuts like the first, and numbers between its marks."""
    cut = list(_sound(Dialect(delimiter=mark).reader(sample, strict=False)))
    width = len(cut[0]) if cut else 0
    alike = sum(len(cells) == width for cells in cut) / max(1, len(cut))
    formats = (number_format.PLAIN, number_format.NumberFormat(","))
    numbers = sum(any(one.matches(cell.strip()) for one in formats) for cells in cut for cell in cells)
    return (alike if width > 1 else 0.0), numbers


def _sound(records: Iterator[list[str]]) -> Iterator[list[str]]:
    """Yield the records that can be read."""
    while True:
        try:
            yield next(records)
        except csv.Error:
            continue
        except StopIteration:
            return


def _quoting(path: Path, plain: Dialect, text: str) -> str:
    if plain.delimiter == "\t":
        return "minimal" if _quotes_mean_something(path, plain) else "none"
    if '\\"' in text and _faults(plain, text):
        escaped = Dialect(plain.encoding, plain.newline, plain.delimiter, "escaped")
        return "minimal" if _faults(escaped, text) else "escaped"
    return "minimal"


def _faults(dialect: Dialect, text: str) -> int:
    """Count the records at the beginning of a file whose quotes do not follow the rules."""
    lines = text.splitlines(keepends=True)
    records, faults = dialect.reader(lines[:-1] if len(text) >= _HEAD // 4 else lines), 0
    while True:
        try:
            next(records)
        except csv.Error:
            faults += 1
        except StopIteration:
            return faults


def _quotes_mean_something(path: Path, dialect: Dialect) -> bool:
    """Return whether a TSV was written with quotes around fields, as spreadsheets and pandas do.

    That is so where every quote at a field's beginning is closed in that field, and where a doubled quote,
    a tab inside quotes, or a header with every name in quotes shows that they are no part of the text.
    """
    meaningful, width = False, 0
    with open(path, encoding=dialect.encoding, errors="replace", newline=dialect.newline) as file:
        for number, line in enumerate(itertools.islice(file, dialect.skipped, None)):
            if '"' not in line and number:
                continue
            fields = dialect.cut(line.removeprefix("\ufeff"))
            width = width or len(fields)
            quoted = [_QUOTED.fullmatch(field) for field in fields if field.startswith('"')]
            if None in quoted:
                if not _closes(dialect, line, width):
                    return False
                meaningful = True
            meaningful |= any(match is not None and '""' in match["inside"] for match in quoted)
            meaningful |= number == 0 and len(quoted) == len(fields)
    return meaningful


def _closes(dialect: Dialect, line: str, width: int) -> bool:
    """Return whether a line is a record of the right width where quotes may hold tabs."""
    try:
        return len(next(dialect.reader([line]), [])) == width
    except csv.Error:
        return False
