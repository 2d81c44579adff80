"""Classes as targets: how labels are read and checked, and the safe names that stand for them elsewhere."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from features.decisions import Decisions
from features.errors import DataError
from features.names import setting
from features.sources.files.candidates import Annotations, Labelling
from features.spec import SPLITS
from features.targets.target import Fitted, Gathered, Readings

if TYPE_CHECKING:
    import pandas
    import pyarrow

_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{0,30})?")
_PARTING = re.compile(r"(?<=\w)[\s_\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{EN DASH}-]+(?=\w)")
_BLANKS = re.compile("[ \t\N{NO-BREAK SPACE}]+")
#: More labels than these may be values in place of classes: where they are numbers from one to every ten
#: examples on, otherwise from one to every two.
_MANY, _VALUES, _OWN = 20, 0.1, 0.5


def slug(label: str) -> str:
    """Make a name of a label that is safe as a file, metric and HTML name, and different for each label.

    Returns:
        At most 49 lower-case ASCII letters, digits and hyphens, ending in 8 digits of the label's hash.
    """
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode("ascii").lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-")
    return f"{stem or 'label'}-{hashlib.sha256(label.encode('utf-8')).hexdigest()[:8]}"


def near(label: str) -> str:
    """Return what labels have in common that differ in spelling alone.

    Case, Unicode form, invisible characters, and what parts words (blanks, hyphens, underscores) do not
    count, and numbers count by their value: ``1``, ``1.0`` and ``01`` are near.
    """
    plain = unicodedata.normalize("NFKC", label).casefold()
    plain = "".join(character for character in plain if unicodedata.category(character) != "Cf").strip()
    if _NUMBER.fullmatch(plain):
        return f"{Decimal(plain).normalize():f}"
    # A minus at the end is no hyphen: grades A and A- are two.
    return _PARTING.sub(" ", plain)


def twins(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the groups of labels that are near each other, each sorted."""
    groups: dict[str, list[str]] = {}
    for label in sorted(set(labels)):
        groups.setdefault(near(label), []).append(label)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def spellings(labels: Collection[str], decisions: Decisions) -> dict[str, str]:
    """Choose how labels are spelled that surely mean the same.

    Blanks around a label, several for one, and its Unicode form do not count, nor do the zeros behind the
    point of whole numbers, which come from columns with gaps; beside a number like 2.5 they stay.

    Args:
        labels: as found.
        decisions: takes each change.

    Returns:
        For every label that changes its new spelling.
    """
    trimmed = {label: _BLANKS.sub(" ", label.strip()) for label in sorted(labels)}
    neat = {label: unicodedata.normalize("NFC", plain) for label, plain in trimmed.items()}
    numbers = {label: Decimal(label) for label in neat.values() if _NUMBER.fullmatch(label)}
    whole = all(number == number.to_integral_value() for number in numbers.values())
    changed = {}
    for label, spelled in neat.items():
        how = "read without needless blanks" if trimmed[label] != label else "read in composed Unicode"
        if whole and "." in spelled and spelled in numbers:
            spelled, how = str(int(numbers[spelled])), "read as an integer"
        if spelled != label:
            changed[label] = spelled
            merged = ", which others are" if spelled in labels else ""
            decisions.add("label", label, how, f"{spelled!r}{merged}")
    return changed


def check_classes(
    labels: Iterable[str],
    declared: Sequence[str],
    instead: str,
    labelling: Labelling = "required",
    todo: str | None = None,
) -> None:
    """Refuse a set of classes that nothing can be learnt from; where labels are not required, an empty one.

    Args:
        labels: of the accepted examples.
        declared: labels the layout declares, as those of empty class folders.
        instead: what was found in place of usable examples, for the message.
        labelling: whether labels are required.
        todo: what would bring more examples in; None where nothing is known to.

    Raises:
        DataError: an empty class, one class alone, two that differ in spelling alone, or labels that are no
            classes; lists the classes with their counts and says how to merge or leave out.
    """
    counts = Counter(labels)
    if labelling != "required":
        if not counts:
            raise DataError(
                "no usable example", got=instead, todo=todo or "check that the files are of this kind"
            )
        return
    for label in declared:
        counts.setdefault(label, 0)
    summary = show(counts)
    empty = sorted(label for label, count in counts.items() if not count)
    if empty and len(empty) < len(counts):
        raise DataError(
            f"class {', '.join(map(repr, empty[:10]))} has no usable example",
            got=f"classes {summary}; {instead}",
            expected="examples in each class",
            todo=todo or f"add some, or leave the class out with {setting('data.drop', empty[:1])}",
        )
    if len(counts) - len(empty) < 2:
        raise DataError(
            "fewer than two classes",
            got=f"classes {summary}; {instead}" if counts else f"no labelled example; {instead}",
            expected="at least two classes, each with examples",
            todo=todo
            or ("add a second class" if counts else "check that the files are of the expected kind"),
        )
    _refuse_values(counts)
    refuse_twins(counts, summary)


def _refuse_values(counts: Counter[str]) -> None:
    """Refuse labels that are measurements, names or texts: nearly each example has its own."""
    labels, total = len(counts), counts.total()
    if labels <= _MANY:
        return
    if all(_NUMBER.fullmatch(label) for label in counts) and labels > _VALUES * total:
        raise DataError(
            f"the labels are {labels} distinct numbers: a regression?",
            got=f"{total} examples labelled {show(counts, 5)}",
            expected="a few classes, each with many examples",
            todo="to predict numbers, train tabular-regression or image-regression; for classes, cut them "
            "into ranges first, as pandas.cut does, and name the column of ranges with --target-column",
        )
    if labels > _OWN * total:
        raise DataError(
            f"nearly every example has a label of its own: {labels} in {total} examples",
            got=show(counts, 5),
            expected="a few classes, each with many examples",
            todo="name the column with the classes with --target-column",
        )


def refuse_twins(counts: Mapping[str, int], shown: str) -> None:
    """Refuse classes that differ in spelling alone.

    Args:
        counts: of the examples of each class.
        shown: the classes, for the message.

    Raises:
        DataError: as above; says how to merge them.
    """
    groups = twins(counts)
    if not groups:
        return
    merge: dict[str, str] = {}
    for group in groups:
        most = max(group, key=lambda label: counts[label])
        merge |= {label: most for label in group if label != most}
    raise DataError(
        f"classes {' and '.join(map(repr, groups[0]))} differ in case, spaces, hyphens or number format alone"
        + (f", as do {len(groups) - 1} more" if len(groups) > 1 else ""),
        got=f"classes {shown}",
        expected="names that differ otherwise",
        todo=f"merge them with {setting('data.merge', merge)}; where they do differ, rename one likewise",
    )


def show(counts: Mapping[str, int], most: int = 20) -> str:
    """Write classes with their counts, for a message; after so many only the number of the others."""
    listing = ", ".join(f"{label!r} ({count})" for label, count in sorted(counts.items())[:most])
    return listing + (f" and {len(counts) - most} more" if len(counts) > most else "")


@dataclass(frozen=True)
class Class:
    """One of several classes, by the name of a folder or the cell of a column."""

    name: str = "class"
    usual: tuple[str, ...] = ("label", "class", "target", "category", "sentiment", "polarity")
    several: bool = False
    gaps: bool = False
    annotations: Annotations | None = None
    beside: tuple[str, ...] = ()

    def columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return none: one usual name is enough."""
        return ()

    def read(self, written: Collection[str], rules: Any, decisions: Decisions) -> Readings:
        """Spell labels alike that surely mean the same, merge and leave out those the rules name."""
        spelled = spellings(written, decisions)
        return {label: rules.class_of(label, spelled.get(label, label)) for label in written}

    def fit(self, text: str, measures: Mapping[str, Any], rules: Any) -> Fitted:
        """Return the label: it depends on no example."""
        return Fitted(text)

    def check(self, gathered: Gathered) -> None:
        """Refuse a set of classes that nothing can be learnt from; see `check_classes`."""
        check_classes(gathered.texts, gathered.declared, gathered.instead, gathered.labelling, gathered.todo)

    def strata(self, texts: Sequence[str]) -> Sequence[str]:
        """Return the labels: every class must be in each split."""
        return texts

    def names(self, texts: Iterable[str], columns: Sequence[str]) -> list[str]:
        """Return the labels, sorted."""
        return sorted(set(texts))

    def column(self, texts: Sequence[str], names: Sequence[str]) -> "pyarrow.Array":
        """Return the position of each label among the names, int64."""
        import pyarrow

        places = {label: place for place, label in enumerate(names)}
        return pyarrow.array([places[label] for label in texts], pyarrow.int64())

    def summarise(
        self, texts: Sequence[str], splits: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Count the examples of each class by split."""
        classes = {label: dict.fromkeys(SPLITS, 0) for label in texts}
        for label, split in zip(texts, splits, strict=True):
            classes[label][split] += 1
        return {"classes": dict(sorted(classes.items()))}

    def encode(self, frame: "pandas.DataFrame") -> np.ndarray:
        """Return the places of the labels, int32 [examples]."""
        return frame["target"].to_numpy(dtype=np.int32)

    def groups(self, encoded: np.ndarray) -> np.ndarray:
        """Return the classes themselves."""
        return encoded

    def expected(self, width: int) -> str:
        """Name the range of places."""
        return f"0 to {width - 1}"

    def misfits(self, encoded: np.ndarray, width: int) -> np.ndarray:
        """Return the positions of places that the network has no output for."""
        return np.flatnonzero((encoded < 0) | (encoded >= width))


CLASS = Class()
