"""Write answers as they come: lines for people, JSON lines, one JSON array, or CSV."""

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from features.errors import StorageError, UsageError
from flows.console import terminal
from flows.queries.answers import columns
from flows.queries.question import Refused, coloured, sentence

#: Standard output as the name of a file.
STDOUT = "-"
Answer = Mapping[str, Any]


class Writer(Protocol):
    """Takes answers one by one."""

    def write(self, answer: Answer | Refused) -> None:
        """Write an answer, or why there is none."""
        ...

    def end(self) -> None:
        """Write what stands at the end."""
        ...


class Lines:
    """A line for each answer; what failed is told on standard error."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, answer: Answer | Refused) -> None:
        """Write a line."""
        if isinstance(answer, Refused):
            terminal.fail(str(answer.error))
        elif self._stream is sys.stdout and (line := coloured(dict(answer))) is not None:
            terminal.stdout().print(line, soft_wrap=True)
        else:
            print(sentence(dict(answer)), file=self._stream)

    def end(self) -> None:
        """Write nothing."""


class JsonLines:
    """A JSON object for each answer, on a line of its own."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, answer: Answer | Refused) -> None:
        """Write a line."""
        print(json.dumps(_plain(answer)), file=self._stream)

    def end(self) -> None:
        """Write nothing."""


class JsonArray:
    """One JSON array of all answers."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self._before = stream, "["

    def write(self, answer: Answer | Refused) -> None:
        """Write an item."""
        self._stream.write(f"{self._before}\n{json.dumps(_plain(answer))}")
        self._before = ","

    def end(self) -> None:
        """Close the array."""
        self._stream.write("[]\n" if self._before == "[" else "\n]\n")


class Csv:
    """A table, whose columns the first answer decides; what fails before it waits for them."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._table: csv.DictWriter[str] | None = None
        self._waiting: list[Refused] = []

    def write(self, answer: Answer | Refused) -> None:
        """Write the rows of an answer, or one with the error."""
        if not isinstance(answer, Refused):
            table = self._table or self._begun(columns.header(answer))
            table.writerows({"input": answer["input"]} | cells for cells in columns.rows(answer))
        elif self._table is None:
            self._waiting.append(answer)
        else:
            self._table.writerow(_plain(answer))

    def _begun(self, names: list[str]) -> "csv.DictWriter[str]":
        self._table = csv.DictWriter(self._stream, names, restval="", extrasaction="ignore")
        self._table.writeheader()
        self._table.writerows(map(_plain, self._waiting))
        self._waiting = []
        return self._table

    def end(self) -> None:
        """Write the table of errors that there is where nothing was answered."""
        if self._table is None:
            self._begun(["input", "error"])


def _plain(answer: Answer | Refused) -> Answer:
    if isinstance(answer, Refused):
        return {"input": answer.shown, "error": str(answer.error)}
    return answer


#: Ending of a file to what writes it; any other file is a picture.
_BY_ENDING: dict[str, type[Writer]] = {
    ".csv": Csv,
    ".json": JsonArray,
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".txt": Lines,
}


def is_text(file: Path) -> bool:
    """Return whether a file's ending says that answers are written to it, and not drawn."""
    return file.suffix.lower() in _BY_ENDING


@contextmanager
def opened(*, table: Path | None, out: Path | None, as_json: bool) -> Iterator[list[Writer]]:
    """Give what writes the answers to standard output and to files.

    Args:
        table: file that takes CSV; ``-`` is standard output.
        out: file that takes the answers in the form that its ending says; a picture's is none.
        as_json: write JSON to standard output.

    Raises:
        UsageError: two of them are the same.
        StorageError: a file cannot be written.
    """
    files = {path: kind for path, kind in ((table, Csv), (out, _kind(out))) if path and kind}
    if table is not None and table == out:
        raise UsageError("--csv and --out name the same file", got=str(table))
    if as_json and table is not None and str(table) == STDOUT:
        raise UsageError("--csv - and --json both write to standard output", expected="one of them")
    # Progress bars put a stand-in in the place of standard output.
    stream = sys.stdout
    writers: list[Writer] = [kind(stream) for path, kind in files.items() if str(path) == STDOUT]
    if as_json or not files:
        writers.append(JsonLines(stream) if as_json else Lines(stream))
    handles = {path: _open(path) for path in files if str(path) != STDOUT}
    writers += [files[path](handle) for path, handle in handles.items()]
    try:
        yield writers
    finally:
        for writer in writers:
            writer.end()
        for handle in handles.values():
            handle.close()


def _kind(out: Path | None) -> type[Any] | None:
    return None if out is None else _BY_ENDING.get(out.suffix.lower())


def _open(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "w", encoding="utf-8", errors="backslashreplace", newline="")
    except OSError as error:
        raise StorageError(f"cannot write {path}", got=error.strerror, todo="name another file") from error
