"""What a source yields: candidates to examine, entries passed over, entries refused on sight."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from features.decisions import Decisions
from features.names import escape
from features.sources.files.object_copies import Copies

#: Where targets come from: folders or a table, one for every example; folders' names, where they can be
#: classes; nowhere; a table, or files of annotations, alone.
Labelling = Literal["required", "auto", "none", "table"]

#: What the annotations of an image hold: objects with their boxes, or the points of one object.
Annotations = Literal["boxes", "points"]


#: Words that stand for a missing label; None and null may as well name a class.
MISSING_LABELS = (
    *("NA", "N/A", "n/a", "<NA>", "#N/A", "#N/A N/A", "#NA", "NaN", "nan", "-NaN", "-nan", "NULL"),
    *("1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", r"\N"),
)


@dataclass(frozen=True)
class TableOptions:
    """How a table is to be read, where its content is not to decide.

    Attributes:
        encoding: of a text table, as Python names it; ``auto``: UTF-8, or what a byte order mark says.
        delimiter: between the fields of a text table; ``auto``: told by the first lines.
        quoting: ``minimal``: a quote is doubled inside quotes; ``escaped``: a backslash stands before it;
            ``none``: quotes are characters like others; ``auto``: see dialect.py.
        header: whether the first line of a text table names its columns.
        suffix: ending to be added to the names of files that lack it.
        folder: below the table's, where the files lie.
        missing_labels: words that stand for a missing label.
        objects: where objects are downloaded to that a table names, or that lie beside one; None: the table
            names files alone.
    """

    encoding: str = "auto"
    delimiter: str = "auto"
    quoting: str = "auto"
    header: bool = True
    suffix: str = ""
    folder: str = ""
    missing_labels: tuple[str, ...] = MISSING_LABELS
    objects: Copies | None = None


@dataclass(frozen=True)
class Columns:
    """Columns of a table; None lets Servable look for the usual names.

    Attributes:
        input: holds the path of the file, relative to the table, or the text itself; of rows it names the
            columns that are inputs, with commas between, and None takes every other column.
        target: holds the target; several names where a target is of several columns.
        split: holds train, validation or test.
        fold: holds the fold of a cross-validation.
        block: names the block of examples that stay in one split.
        ignored: columns that are no inputs of a row.
        usual_targets: names that are tried where `target` is open.
        several_targets: whether a target may be of several columns; it is then read as a line of CSV.
        target_gaps: whether cells of such a target may be empty, or say that a value is missing.
        annotations: what a target's annotations hold, where files of annotations are sources as well.
        unannotated: whether an image without an annotation file is skipped, or has no objects.
        beside: endings of the files of the same name beside each example that a target may be read from,
            where no column holds it; the one that counts first of all first.
        find_targets: recognises the target's columns among a table's; where it finds none, or is None, the
            usual names count.
        table: how the table is read.
    """

    input: str | None = None
    target: str | tuple[str, ...] | None = None
    split: str | None = None
    fold: str | None = None
    block: str | None = None
    ignored: tuple[str, ...] = ()
    usual_targets: tuple[str, ...] = ("label", "class", "target", "category", "sentiment", "polarity")
    several_targets: bool = False
    target_gaps: bool = False
    annotations: Annotations | None = None
    unannotated: Literal["skip", "empty"] = "skip"
    beside: tuple[str, ...] = ()
    find_targets: Callable[[Sequence[str]], tuple[str, ...]] | None = None
    table: TableOptions = TableOptions()

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns named for the target."""
        return (self.target,) if isinstance(self.target, str) else tuple(self.target or ())

    @property
    def named(self) -> bool:
        """Whether any column is named, so that a table is meant."""
        return any((self.input, self.target, self.split, self.fold))


@dataclass(frozen=True, slots=True)
class Candidate:
    """One example to examine.

    Attributes:
        path: of the file, absolute, as the file system's bytes; None where `content` is the example.
        name: path relative to the source, escaped for display; in a table ``table.csv:row``.
        label: the target as the data write it: a class's name, a line of CSV of the target's columns, an
            `Annotation` as text, or the content of the file beside the example.
        split: train, validation or test where the data say so, else None.
        fold: where the data give one, else None.
        block: where the data give one, else None.
        row: row of the table, from 1, header not counted, of several the first; None outside tables.
        content: the table's cell, or its row, as UTF-8, where the raw kind lives in tables; else None.
        line: physical line of the text file, from 1; None elsewhere.
        link: path below the source of the symbolic link that was followed to the file; None without one.
    """

    path: bytes | None
    name: str
    label: str
    split: str | None = None
    fold: str | None = None
    block: str | None = None
    row: int | None = None
    content: bytes | None = None
    line: int | None = None
    link: bytes | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """An entry passed over by a rule.

    Attributes:
        name: path below the source, escaped for display.
        reason: a key of quarantine.SKIPS.
        suffix: the file's ending.
        resembles: whether it looks like an example: too many of these stop the run.
    """

    name: str
    reason: str
    suffix: str = ""
    resembles: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """An entry refused before anything is decoded.

    Attributes:
        relative: path below the source, as bytes.
        reason: a key of quarantine.REASONS.
        detail: what exactly was found.
        row: row of the table, from 1; None outside tables.
        line: physical line of the text file, from 1.
        offset: byte of the text file, from 0.
    """

    relative: bytes
    reason: str
    detail: str
    row: int | None = None
    line: int | None = None
    offset: int | None = None


Entry = Candidate | Skipped | Rejected


@dataclass(frozen=True)
class Source:
    """Where raw examples come from; iterating looks at every entry once.

    Attributes:
        layout: ``class-folders``, ``split-folders``, ``table``, ``split-tables``, ``files``, ``side-files``,
            ``voc`` or ``coco``.
        description: one sentence for the user.
        root: the folder that names are relative to, absolute.
        classes: labels the layout declares (class folders, empty ones too); empty for a table.
        splits: splits the layout declares; empty where the data give none or a column does.
        columns: names of the columns that make a row, in order; empty for other raw kinds.
        targets: names of the columns that the target is read from; empty outside tables.
        named: whether the user named them.
        indexes: those of them that the file itself calls an index.
        nameless: those of them that the header has no name for.
        narrow: makes the same source without some of its columns, where they make a row.
        decisions: what was decided where the data left it open; complete once every entry was looked at.
    """

    layout: str
    description: str
    root: bytes
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    scan: Callable[[], Iterator[Entry]]
    columns: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    decisions: Decisions = field(default_factory=Decisions)
    named: bool = False
    indexes: frozenset[str] = frozenset()
    nameless: frozenset[str] = frozenset()
    narrow: "Callable[[tuple[str, ...]], Source] | None" = None

    def __iter__(self) -> Iterator[Entry]:
        return self.scan()

    def without(self, names: Iterable[str]) -> "Source":
        """Make the same source without some of the columns that make a row."""
        left = tuple(names)
        return self if self.narrow is None or not left else self.narrow(left)


#: Names of the splits as they occur in the wild.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


def split_named(name: str) -> str | None:
    """Return the split a folder or cell names, or None."""
    return SPLIT_NAMES.get(name.strip().lower())


def label_of(name: bytes) -> str:
    """Make a label of a folder's name: its text, or an escaped form where it is no UTF-8."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return escape(name)
