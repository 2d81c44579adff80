"""What a client may have done to an example, and what the network would then be given."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

#: Two arrays are equal if they differ by less than this share of the spread of their values, on average.
TOLERANCE = 0.02


@dataclass(frozen=True)
class Mistake:
    """One mistake, or several at once.

    Attributes:
        causes: their names, none for an example that was prepared rightly.
        todo: what to do instead.
        values: what the client sends: pixels, samples or ids.
    """

    causes: tuple[str, ...]
    todo: str
    values: np.ndarray

    @property
    def name(self) -> str:
        """The causes in words."""
        return " and ".join(self.causes) or "none"


@dataclass(frozen=True)
class Change:
    """What a mistake does to rightly prepared values."""

    cause: str
    todo: str
    apply: Callable[[np.ndarray], np.ndarray]


def combined(bases: Iterable[Mistake], *changes: tuple[Change, ...]) -> list[Mistake]:
    """Combine the values that a client may start from with the changes it may make to them, one of each kind.

    Returns:
        The simplest mistakes first.
    """
    mistakes = list(bases)
    for kind in changes:
        mistakes += [
            Mistake(
                (*mistake.causes, change.cause),
                "; ".join(filter(None, (mistake.todo, change.todo))),
                change.apply(mistake.values),
            )
            for mistake in mistakes
            for change in kind
        ]
    return sorted(mistakes, key=lambda mistake: len(mistake.causes))


def matching(given: np.ndarray, mistakes: Iterable[Mistake]) -> Mistake | None:
    """Return the simplest mistake whose values are those given; None where none is."""
    for mistake in mistakes:
        if are_alike(given, mistake.values):
            return mistake
    return None


def are_alike(given: np.ndarray, values: np.ndarray) -> bool:
    """Return whether two arrays are the same up to rounding and another decoder."""
    if given.shape != values.shape or not np.isfinite(given.astype(np.float64)).all():
        return False
    difference = np.abs(given.astype(np.float64) - values.astype(np.float64)).mean()
    return bool(difference <= TOLERANCE * max(float(values.std()), 1e-12))
