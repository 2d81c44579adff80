"""Targets in files of their own: for each example the one of the same name beside it."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from features.decisions import Decisions
from features.formats import midi
from features.names import counted, escape, printable, stem_of, suffix_of
from features.quarantine import RefusedError
from features.sources.files import folders, splits
from features.sources.files.candidates import Candidate, Columns, Entry, Rejected, Skipped, Source
from features.sources.files.selection import FOLLOW, Selection
from features.storage.files import read_file

#: A longer text is no target of one example.
MOST_BYTES = 4 << 20
#: First line of what a MIDI file is read as; its columns are those of `midi.Note`.
MIDI_COLUMNS = "onset\toffset\tpitch\tvelocity\tsustained"


class SideFiles:
    """Reads the targets of examples.

    Args:
        root: folder of the source, absolute.
        suffixes: endings of the files, the one that is taken first of all first.
        follow_symlinks: whether symbolic links stand for what they lead to.
    """

    def __init__(self, root: bytes, suffixes: Sequence[str], *, follow_symlinks: bool = False) -> None:
        self._root, self._suffixes, self._follow = root, tuple(suffixes), follow_symlinks
        self._beside = lru_cache(maxsize=1_000)(self._list)
        #: Examples by the ending of the file that their target was read from.
        self.counts: dict[str, int] = defaultdict(int)

    def files(self, candidate: Candidate) -> list[bytes]:
        """List the paths below the source of the files beside an example, the one that counts first."""
        folder, name = os.path.split(self.relative(candidate))
        there = self._beside(folder).get(stem_of(name), {})
        names = (name for suffix in self._suffixes for name in there.get(suffix, ()))
        return [os.path.join(folder, name) for name in names]

    def relative(self, candidate: Candidate) -> bytes:
        """Return an example's path below the source."""
        return candidate.link or os.path.relpath(candidate.path or b"", self._root)

    def labelled(self, candidate: Candidate) -> Candidate:
        """Give an example the content of the file beside it as its target.

        Raises:
            RefusedError: ``no_target_file``, ``bad_annotation``, ``bad_encoding``, ``nul``, or as of
                `read_file`.
        """
        files = self.files(candidate)
        if not files:
            expected = f"{escape(stem_of(self.relative(candidate)))}{' or '.join(self._suffixes)}"
            raise RefusedError("no_target_file", f"there is no {expected} beside it")
        path, suffix = os.path.join(self._root, files[0]), suffix_of(files[0])
        if not self._follow and Path(os.fsdecode(path)).is_symlink():
            raise RefusedError("no_target_file", f"{escape(files[0])} is a symbolic link: {FOLLOW}")
        try:
            text = read(os.path.realpath(path) if self._follow else path, suffix)
        except RefusedError as refusal:
            detail = f"{escape(files[0])}: {refusal.detail}"
            raise RefusedError(refusal.reason, detail, refusal.offset) from None
        self.counts[suffix] += 1
        return replace(candidate, label=text)

    def record(self, decisions: Decisions) -> None:
        """Add which files were read to the decisions."""
        for suffix, count in sorted(self.counts.items()):
            decisions.add("target", suffix, f"read beside {counted(count, 'example')}", "of the same name")

    def _list(self, folder: bytes) -> Mapping[bytes, Mapping[str, list[bytes]]]:
        """List a folder's files that may hold targets, by stem and ending."""
        files_by_stem: dict[bytes, dict[str, list[bytes]]] = defaultdict(lambda: defaultdict(list))
        try:
            with os.scandir(os.path.join(self._root, folder)) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError:
            return {}
        for name in names:
            if (suffix := suffix_of(name)) in self._suffixes:
                files_by_stem[stem_of(name)][suffix].append(name)
        return files_by_stem


def read(path: bytes, suffix: str) -> str:
    """Read a file that holds a target, as text; of MIDI its notes, a line each, below MIDI_COLUMNS.

    Raises:
        RefusedError: ``bad_annotation``, ``bad_encoding``, ``nul``, or as of `read_file`.
    """
    if suffix in midi.SUFFIXES:
        content, _ = read_file(path, midi.MOST_BYTES)
        return "\n".join([MIDI_COLUMNS, *map(_line, midi.read(content))])
    content, _ = read_file(path, MOST_BYTES)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedError("bad_encoding", f"byte {error.start} is not UTF-8", error.start) from None
    if "\0" in text:
        raise RefusedError("nul", f"a NUL character at {text.index(chr(0))}")
    return text


def _line(note: midi.Note) -> str:
    times = (note.onset, note.offset, note.sustained)
    onset, offset, sustained = (f"{seconds:.6f}" for seconds in times)
    return f"{onset}\t{offset}\t{note.pitch}\t{note.velocity}\t{sustained}"


def find(root: bytes, shown: str, selection: Selection, columns: Columns) -> Source:
    """Make a source of every file below a folder, each with its target beside it.

    Splits are those of folders named train, val and test on the files' paths.

    Args:
        root: absolute path of the folder.
        shown: what messages call it.
        selection: the files that are meant, and whether links are followed.
        columns: the endings of the files that hold targets.

    Raises:
        OSError: root cannot be read.
    """
    tree = folders.unlabelled(root, shown, selection)
    described = printable(f"files in {shown}, each with its target beside it")
    decisions = Decisions()

    def scan() -> Iterator[Entry]:
        beside = SideFiles(root, columns.beside, follow_symlinks=selection.follow_symlinks)
        yield from _entries(tree, beside)
        beside.record(decisions)

    return Source("side-files", described, root, (), (), scan, decisions=decisions)


def _entries(tree: Source, beside: SideFiles) -> Iterator[Entry]:
    """Yield examples with their targets; files beside them are part of them, and no entries themselves."""
    others, claimed = [], set()
    for entry in tree:
        if not isinstance(entry, Candidate):
            others.append(entry)
            continue
        relative = beside.relative(entry)
        claimed |= set(map(escape, beside.files(entry)))
        try:
            labelled = beside.labelled(entry)
        except RefusedError as refusal:
            yield Rejected(relative, refusal.reason, refusal.detail, offset=refusal.offset)
        else:
            yield replace(labelled, split=splits.named_by_folder(relative))
    yield from (one for one in others if not (isinstance(one, Skipped) and one.name in claimed))
