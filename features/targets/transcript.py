"""Transcripts as targets: what is said in a recording, as text."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from features.decisions import Decisions
from features.errors import DataError
from features.quarantine import RefusedError
from features.sources.files.candidates import Annotations
from features.targets.target import Fitted, Gathered, Readings

if TYPE_CHECKING:
    import pandas
    import pyarrow

#: What fills encoded labels up to the longest sequence.
PADDING = -1
#: Marks that belong to a word where letters stand on both sides of them.
_WITHIN = "'’-"
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True)
class Transcript:
    """The words of a recording, normalised as the recipe says; encoded by an alphabet that a task fits."""

    name: str = "transcript"
    usual: tuple[str, ...] = ("text", "transcript", "transcription", "sentence", "target")
    several: bool = False
    gaps: bool = False
    annotations: Annotations | None = None
    beside: tuple[str, ...] = (".txt",)

    def columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return none: one usual name is enough."""
        return ()

    def read(self, written: Collection[str], rules: Any, decisions: Decisions) -> Readings:
        """Normalise transcripts; one without a letter or digit is refused as ``empty_transcript``.

        With ``case: auto``, transcripts that mix capitals and small letters are read as small letters.
        """
        lower = rules.case == "lower" or (rules.case == "auto" and _mixed(written))
        if lower and rules.case == "auto":
            decisions.add("target", "case", "read as small letters", "some transcripts mix both cases")
        upper = rules.case == "upper"
        change = str.lower if lower else str.upper if upper else str
        return {text: _read(text, change, keep_marks=rules.punctuation == "keep") for text in written}

    def fit(self, text: str, measures: Mapping[str, Any], rules: Any) -> Fitted | RefusedError:
        """Refuse a transcript that is longer than the sound's frames allow.

        CTC gives each label a frame of its own, and a repeated one a blank before it.
        """
        frames = int(measures["seconds"] / rules.frame_seconds) + 1
        needed = frames_needed(labels(text, rules.units))
        if needed <= frames:
            return Fitted(text)
        detail = f"{needed} frames needed, {frames} in {measures['seconds']:g} s ({text[:40]!r})"
        return RefusedError("too_long_for_sound", detail)

    def check(self, gathered: Gathered) -> None:
        """Refuse no example at all.

        Raises:
            DataError: as above.
        """
        if not gathered.texts:
            raise DataError(
                "no usable example",
                got=gathered.instead,
                todo=gathered.todo or "check that the target column holds transcripts",
            )

    def strata(self, texts: Sequence[str]) -> None:
        """Return None: no transcript must be in each split."""

    def names(self, texts: Iterable[str], columns: Sequence[str]) -> list[str]:
        """Return none: the alphabet is fitted on the training split alone."""
        return []

    def column(self, texts: Sequence[str], names: Sequence[str]) -> "pyarrow.Array":
        """Return the texts."""
        import pyarrow

        return pyarrow.array(list(texts), pyarrow.string())

    def summarise(
        self, texts: Sequence[str], splits: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Count words and characters by split, and list what the training split lacks of the others."""
        owned: dict[str, list[str]] = {}
        for text, split in zip(texts, splits, strict=True):
            owned.setdefault(split, []).append(text)
        vocabularies = {unit: set(_counted(owned.get("train", ()), unit)) for unit in ("words", "characters")}
        return {
            "transcripts": {
                split: {
                    "examples": len(own),
                    **_sizes(own),
                    **{
                        f"unknown_{unit}": _unknown(_counted(own, unit), vocabulary)
                        for unit, vocabulary in vocabularies.items()
                    },
                }
                for split, own in owned.items()
            }
        }

    def encode(self, frame: "pandas.DataFrame") -> np.ndarray:
        """Return the texts, an array of str objects; a network's ``place`` turns them into labels."""
        return frame["target"].to_numpy(dtype=object)

    def groups(self, encoded: np.ndarray) -> np.ndarray:
        """Return one group: transcripts have no classes."""
        return np.zeros(len(encoded), np.int32)

    def expected(self, width: int) -> str:
        """Name the range of labels."""
        return f"labels 0 to {width - 2}, {PADDING} behind the last"

    def misfits(self, encoded: np.ndarray, width: int) -> np.ndarray:
        """Return the positions of transcripts without a label, or with one the network has no output for."""
        usable = (encoded >= PADDING) & (encoded < width - 1)
        return np.flatnonzero(~usable.all(axis=1) | (encoded[:, 0] == PADDING))


def labels(text: str, units: str) -> list[str]:
    """Cut a normalised text into what a network says one after the other: characters or words."""
    return text.split(" ") if units == "words" else list(text)


def joined(parts: Iterable[str], units: str) -> str:
    """Put labels together again."""
    return (" " if units == "words" else "").join(parts)


def frames_needed(sequence: Sequence[Any]) -> int:
    """Return how many frames CTC needs at least for a sequence of labels."""
    return len(sequence) + sum(first == second for first, second in pairwise(sequence))


def place(texts: Sequence[str], alphabet: Sequence[str], units: str) -> np.ndarray:
    """Number the labels of texts.

    Labels outside the alphabet are left out.

    Returns:
        int32 [texts, labels], filled up with PADDING; at least one column.
    """
    numbers = {label: number for number, label in enumerate(alphabet)}
    rows = [[numbers[label] for label in labels(text, units) if label in numbers] for text in texts]
    placed = np.full((len(rows), max(map(len, rows), default=0) or 1), PADDING, np.int32)
    for row, own in zip(placed, rows, strict=True):
        row[: len(own)] = own
    return placed


def _mixed(texts: Collection[str]) -> bool:
    joined_texts = "".join(texts)
    return any(map(str.islower, joined_texts)) and any(map(str.isupper, joined_texts))


def _read(text: str, change: Any, *, keep_marks: bool) -> str | RefusedError:
    plain = unicodedata.normalize("NFC", text)
    plain = plain if keep_marks else _without_marks(plain)
    plain = unicodedata.normalize("NFC", change(_BLANKS.sub(" ", plain).strip()))
    if not any(map(str.isalnum, plain)):
        return RefusedError("empty_transcript", f"the transcript is {text[:40]!r}")
    return plain


def _without_marks(text: str) -> str:
    """Replace punctuation and symbols by blanks, but for marks inside words; drop invisible characters."""
    characters = []
    for place_, character in enumerate(text):
        kind = unicodedata.category(character)
        around = text[max(0, place_ - 1) : place_] + text[place_ + 1 : place_ + 2]
        inside = character in _WITHIN and len(around) == 2 and around.isalnum()
        if kind[0] not in "PSC" or inside:
            characters.append(character)
        elif kind[0] in "PS" or character.isspace():
            characters.append(" ")
    return "".join(characters)


def _counted(texts: Iterable[str], unit: str) -> Counter[str]:
    return Counter(label for text in texts for label in labels(text, unit))


def _sizes(texts: Sequence[str]) -> dict[str, int]:
    words, characters = (_counted(texts, unit) for unit in ("words", "characters"))
    return {"words": words.total(), "characters": characters.total(), "different_words": len(words)}


def _unknown(counts: Counter[str], vocabulary: Collection[str]) -> dict[str, int]:
    """Count what is not known, the most frequent first; at most a hundred."""
    return dict(
        Counter({label: n for label, n in counts.items() if label not in vocabulary}).most_common(100)
    )


TRANSCRIPT = Transcript()
