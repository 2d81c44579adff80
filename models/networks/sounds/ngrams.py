"""A language model of the labels that follow each other, as tables that a graph can walk through.

The n-grams are smoothed after Witten and Bell (1991): what a context was seen to be followed by counts beside
what follows its shorter end. Every context that was seen is a state, so that a decoder in the graph needs
two look-ups a label: its log-probability, and the state it leads to.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

#: Entries that a table may have; the rarest of the longest contexts are left out beyond.
MOST_ENTRIES = 4_000_000


@dataclass(frozen=True)
class LanguageModel:
    """Log-probabilities of labels by state; state 0 is the beginning of a sequence.

    Attributes:
        scores: of each label after each state, and of the end in the last column: float32
            [states, labels + 1], natural logarithms.
        states: that each label leads to: int32 [states, labels].
    """

    scores: np.ndarray
    states: np.ndarray

    def score(self, sequence: Sequence[int], *, ended: bool = True) -> float:
        """Return the log-probability of a sequence of labels, with its end where it has ended."""
        state, total = 0, 0.0
        for label in sequence:
            total += float(self.scores[state, label])
            state = int(self.states[state, label])
        return total + float(self.scores[state, -1]) * ended


def fit(counted: Mapping[tuple[int, ...], int], labels: int, order: int) -> LanguageModel:
    """Estimate a language model.

    Args:
        counted: sequences of labels, and how often each was seen.
        labels: how many there are.
        order: labels of an n-gram; 1 takes each label by itself.
    """
    followers = _followers(counted, labels, order)
    contexts = _kept(followers, labels)
    places = {context: place for place, context in enumerate(contexts)}
    shares = np.zeros((len(contexts), labels + 1))
    for context in sorted(contexts, key=len):
        counts = followers[context]
        shorter = shares[places[_suffix(context[1:], places)]] if context else 1 / (labels + 1)
        own = np.zeros(labels + 1)
        own[list(counts)] = list(counts.values())
        kinds = max(len(counts), 1)
        shares[places[context]] = (own + kinds * shorter) / (counts.total() + kinds)
    return LanguageModel(np.log(shares).astype(np.float32), _led_to(places, labels, order))


def _led_to(places: Mapping[tuple[int, ...], int], labels: int, order: int) -> np.ndarray:
    """Return the state that each label leads to: int32 [states, labels]."""
    states = np.zeros((len(places), labels), np.int32)
    for context, place in places.items():
        for label in range(labels):
            longest = (*context, label)[-(order - 1) :] if order > 1 else ()
            states[place, label] = places[_suffix(longest, places)]
    return states


#: Stands before the first label of a sequence.
_BEGIN = -1


def _followers(
    counted: Mapping[tuple[int, ...], int], labels: int, order: int
) -> dict[tuple[int, ...], Counter[int]]:
    """Count what follows each context of up to order - 1 labels; the end is the label behind the last."""
    followers: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    followers[()] = Counter()
    for sequence, count in counted.items():
        whole = (_BEGIN, *sequence)
        for place, label in enumerate((*sequence, labels), start=1):
            for length in range(min(order, place + 1)):
                followers[whole[place - length : place]][label] += count
    if order > 1:
        followers.setdefault((_BEGIN,), Counter())
    return followers


def _kept(followers: Mapping[tuple[int, ...], Counter[int]], labels: int) -> list[tuple[int, ...]]:
    """List the contexts, the beginning first; of too many, the frequent ones."""
    first: tuple[int, ...] = (_BEGIN,) if (_BEGIN,) in followers else ()
    rank = {(): 1, first: 0}
    ordered = sorted(
        followers,
        key=lambda context: (rank.get(context, 2), -followers[context].total(), len(context), context),
    )
    return ordered[: max(2, MOST_ENTRIES // (labels + 1))]


def _suffix(context: tuple[int, ...], places: Mapping[tuple[int, ...], int]) -> tuple[int, ...]:
    """Return the longest end of a context that is a state."""
    while context not in places:
        context = context[1:]
    return context
