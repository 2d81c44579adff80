"""What the arguments of a command stand for: files, folders, archives, tables, URLs, standard input, texts.

Nothing is read before its turn: an example that cannot be read fails alone, and a folder of a million files
takes no memory.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from features.errors import DataError, NoInputError, ServableError
from features.formats.content_type import sniff
from features.names import counted, printable
from features.sources import archives
from features.sources.files import folders
from features.sources.files.candidates import Candidate, Columns, Entry, Rejected, Skipped, Source
from features.sources.files.selection import Selection
from features.sources.tables import tables
from features.spec import RAW_KINDS, RawKind
from flows.queries.reading import downloads, raw_inputs
from flows.queries.reading.downloads import Limits
from flows.queries.reading.raw_inputs import TYPED, RawInput, Typed

#: Raw kinds by the name of the input that takes them.
KINDS = {kind.input: kind for kind in RAW_KINDS.values()} | TYPED
#: Kinds whose examples are whole files, which folders and archives hold.
_FILED = frozenset(kind.name for kind in RAW_KINDS.values() if not (kind.lines or kind.rows))


@dataclass(frozen=True)
class Example:
    """One example that is not read yet.

    Attributes:
        shown: what names it in an answer: a path, a URL, the row of a table, or the text.
        read: gives what is sent; raises a ServableError where that cannot be had.
    """

    shown: str
    read: Callable[[], bytes]


@dataclass
class Examples:
    """The examples that arguments stand for; iterating goes through them from the beginning.

    Attributes:
        arguments: as typed.
        argument: name of the input that takes the examples, such as ``image_bytes``.
        scratch: folder that archives are unpacked into.
        column: of tables, that holds the examples or names their files; None for the usual names.
        limits: of downloads.
        skipped: files of folders and archives that are passed over, by reason; complete after an iteration.
    """

    arguments: Sequence[str | Path]
    argument: str
    scratch: Path
    column: str | None = None
    limits: Limits = field(default_factory=Limits)
    skipped: Counter[str] = field(default_factory=Counter)
    _kept: dict[str, bytes] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Example]:
        self.skipped.clear()
        for argument in self.arguments:
            yield from self.of(argument)

    @property
    def _kind(self) -> RawKind | None:
        return KINDS.get(self.argument)

    def of(self, argument: str | Path) -> Iterator[Example]:
        """Yield the examples that one argument stands for."""
        display_name = str(argument)
        if isinstance(argument, Typed):
            yield from self._lines(display_name, partial(raw_inputs.given, argument, self._typed))
        elif downloads.is_url(display_name):
            yield from self._lines(display_name, partial(self._downloaded, display_name))
        elif raw_inputs.is_stdin(argument):
            yield from self._standard_input()
        elif not raw_inputs.is_there(argument):
            yield from self._not_there(argument)
        elif Path(display_name).is_dir() and self._is_filed:
            yield from self._folder(Path(display_name), display_name)
        elif self._is_filed and archives.is_archive(Path(display_name)):
            yield from self._archive(Path(display_name), display_name)
        elif raw_inputs.is_table(display_name) and (self._is_filed or self.column is not None):
            yield from self._table(Path(display_name))
        else:
            yield from self._lines(display_name, partial(raw_inputs.given, argument, self._typed))

    @property
    def _typed(self) -> RawKind | None:
        return TYPED.get(self.argument)

    @property
    def _is_filed(self) -> bool:
        return self._kind is not None and self._kind.name in _FILED

    def _lines(self, display_name: str, read: Callable[[], Iterator[RawInput]]) -> Iterator[Example]:
        """Yield one example that is read later; of words and rows, all that the lines hold, read now."""
        if self._kind is None or not (self._kind.lines or self._kind.rows):
            yield Example(display_name, lambda: next(read()).content)
            return
        try:
            inputs = list(read())
        except ServableError as error:
            yield _failed(display_name, error)
            return
        for one in inputs:
            yield Example(one.shown, partial(bytes, one.content))

    def _downloaded(self, url: str) -> Iterator[RawInput]:
        content = self._kept.get(url) or downloads.fetch(url, self.limits)
        if self._typed is not None and (self._typed.lines or self._typed.rows):
            # Its lines are counted before they are sent.
            self._kept[url] = content
        return raw_inputs.of_content(url, content, self._typed)

    def _standard_input(self) -> Iterator[Example]:
        """Yield what is piped in; where files are sent, text names them, one a line."""
        display_name = raw_inputs.STDIN
        if display_name not in self._kept:
            self._kept[display_name] = sys.stdin.buffer.read()
        content = self._kept[display_name]
        if self._typed is None and (names := _paths(content)):
            for name in names:
                yield from self.of(name)
            return
        yield from self._lines(
            display_name, partial(raw_inputs.of_content, display_name, content, self._typed)
        )

    def _not_there(self, argument: str | Path) -> Iterator[Example]:
        for one in (paths := raw_inputs.matches(argument)):
            yield from self.of(Path(one))
        if paths:
            return
        if self._typed is None or raw_inputs.looks_like_path(argument):
            yield _failed(str(argument), raw_inputs.no_such_file([str(argument)]))
        else:
            yield from self._lines(str(argument), partial(raw_inputs.given, argument, self._typed))

    def _folder(self, folder: Path, display_name: str) -> Iterator[Example]:
        assert self._kind is not None
        has_examples = False
        source = folders.unlabelled(os.fsencode(folder.absolute()), display_name, Selection(self._kind))
        for example in self._entries(source, display_name):
            has_examples = True
            yield example
        if not has_examples:
            todo = "name the files, as in FOLDER/*"
            if self._typed is not None:
                todo += "; --text sends a text that is the name of a folder"
            yield _failed(
                display_name, NoInputError(f"{display_name} contains no {self._kind.name} file", todo=todo)
            )

    def _archive(self, archive: Path, display_name: str) -> Iterator[Example]:
        try:
            folder = archives.unpack(archive, self.scratch)
        except (ServableError, OSError) as error:
            yield _failed(display_name, error)
            return
        yield from self._folder(folder, display_name)

    def _table(self, table: Path) -> Iterator[Example]:
        assert self._kind is not None
        try:
            source = tables.open_unlabelled(
                table.absolute(), Selection(self._kind), Columns(input=self.column)
            )
        except (ServableError, OSError) as error:
            yield _failed(str(table), error)
            return
        yield from self._entries(source, os.path.dirname(table))  # noqa: PTH120 - empty where pathlib says "."

    def _entries(self, source: Source, display_name: str) -> Iterator[Example]:
        """Yield the examples of a source; a table that turns out to be damaged fails where it is."""
        entries = iter(source)
        while True:
            try:
                entry = next(entries, None)
            except (ServableError, OSError) as error:
                yield _failed(display_name, error)
                return
            if entry is None:
                return
            if (example := self._example(entry, display_name)) is not None:
                yield example

    def _example(self, entry: Entry, display_name: str) -> Example | None:
        if isinstance(entry, Skipped):
            self.skipped[entry.reason] += 1
            return None
        if isinstance(entry, Rejected):
            name = os.path.join(display_name, os.fsdecode(entry.relative))
            name += f":{entry.row}" if entry.row is not None else ""
            return _failed(
                name, DataError(f"{printable(name)} cannot be sent", got=f"{entry.reason}: {entry.detail}")
            )
        return Example(os.path.join(display_name, entry.name), partial(self._content, entry, display_name))

    def _content(self, entry: Candidate, display_name: str) -> bytes:
        name = os.path.join(display_name, entry.name)
        content = entry.content
        if content is None:
            assert entry.path is not None
            content = raw_inputs.content_of(Path(os.fsdecode(entry.path)))
        return next(raw_inputs.of_content(name, content, self._typed)).content

    def notes(self) -> list[str]:
        """Return a line on the files that were passed over and may have been meant; empty where none was."""
        meant = sum(self.skipped[reason] for reason in ("unsupported_extension", "symlink", "too_deep"))
        return [f"{counted(meant, 'file')} of other kinds skipped"] if meant else []


def _failed(display_name: str, error: ServableError | OSError) -> Example:
    """Make an example that fails when it is read."""

    def read() -> bytes:
        if isinstance(error, OSError):
            raise NoInputError(f"{printable(display_name)} cannot be read", got=error.strerror) from error
        raise error

    return Example(display_name, read)


def _paths(content: bytes) -> list[str]:
    """Return the lines of a text that could be the paths or URLs of files; none for other content."""
    if sniff(content) != "text":
        return []
    return [line for line in os.fsdecode(content).splitlines() if line.strip() not in ("", raw_inputs.STDIN)]
