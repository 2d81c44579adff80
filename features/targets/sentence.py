"""Sentences as targets: what a text is in another language, as it is written."""

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from features.decisions import Decisions
from features.errors import DataError
from features.quarantine import RefusedError
from features.sources.files.candidates import Annotations
from features.spec import SPLITS
from features.targets.target import Fitted, Gathered, Readings

if TYPE_CHECKING:
    import pandas
    import pyarrow

#: Characters that a shorter text counts as, where lengths are compared: short answers differ more.
_LEAST = 10


@dataclass(frozen=True)
class Sentence:
    """A text whose characters stay as they are; encoded by the sub-words that a task fits."""

    name: str = "sentence"
    usual: tuple[str, ...] = ("target", "translation", "target_text")
    several: bool = False
    gaps: bool = False
    annotations: Annotations | None = None
    beside: tuple[str, ...] = ()

    def columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return none: one usual name is enough."""
        return ()

    def read(self, written: Collection[str], rules: Any, decisions: Decisions) -> Readings:
        """Take sentences as they are; one of blanks alone is refused as ``missing_value``."""
        return {text: text if text.strip() else _blank(text) for text in written}

    def fit(self, text: str, measures: Mapping[str, Any], rules: Any) -> Fitted | RefusedError:
        """Refuse a sentence that is too long, or whose length does not go with that of its source."""
        if len(text) > rules.max_characters:
            return RefusedError(
                "too_long", f"the target has {len(text):,} characters; at most {rules.max_characters:,}"
            )
        lengths = [max(_LEAST, length) for length in (len(text), int(measures["characters"]))]
        if rules.max_ratio is not None and max(lengths) > rules.max_ratio * min(lengths):
            detail = f"{measures['characters']} characters, and {len(text)} in the target"
            return RefusedError("unlike_length", f"{detail}; at most {rules.max_ratio:g} times as many")
        return Fitted(text)

    def check(self, gathered: Gathered) -> None:
        """Refuse no example at all.

        Raises:
            DataError: as above.
        """
        if not gathered.texts:
            raise DataError(
                "no usable example",
                got=gathered.instead,
                todo=gathered.todo or "check that the target column holds sentences",
            )

    def strata(self, texts: Sequence[str]) -> None:
        """Return None: no sentence must be in each split."""

    def names(self, texts: Iterable[str], columns: Sequence[str]) -> list[str]:
        """Return none: the sub-words are fitted on the training split alone."""
        return []

    def column(self, texts: Sequence[str], names: Sequence[str]) -> "pyarrow.Array":
        """Return the texts."""
        import pyarrow

        return pyarrow.array(list(texts), pyarrow.string())

    def summarise(
        self, texts: Sequence[str], splits: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Count sentences and different ones by split, and describe their length in characters."""
        owned: dict[str, list[str]] = {}
        for text, split in zip(texts, splits, strict=True):
            owned.setdefault(split, []).append(text)
        return {"sentences": {split: _described(owned[split]) for split in SPLITS if split in owned}}

    def encode(self, frame: "pandas.DataFrame") -> np.ndarray:
        """Return the texts, an array of str objects; a network's ``place`` turns them into sub-words."""
        return frame["target"].to_numpy(dtype=object)

    def groups(self, encoded: np.ndarray) -> np.ndarray:
        """Return one group: sentences have no classes."""
        return np.zeros(len(encoded), np.int32)

    def expected(self, width: int) -> str:
        """Name the range of sub-words."""
        return f"sub-words 1 to {width - 1}, 0 behind the last"

    def misfits(self, encoded: Any, width: int) -> np.ndarray:
        """Return the positions of sentences with a sub-word that the network has no output for."""
        largest = np.array([np.max(row, initial=0) for row in encoded])
        return np.flatnonzero(largest >= width)


def _blank(text: str) -> RefusedError:
    return RefusedError("missing_value", f"the target has {len(text):,} characters, all of them blank")


def _described(texts: Sequence[str]) -> dict[str, float]:
    lengths = [len(text) for text in texts]
    return {
        "examples": len(texts),
        "different": len(set(texts)),
        "least": min(lengths),
        "median": statistics.median(lengths),
        "most": max(lengths),
    }


SENTENCE = Sentence()
