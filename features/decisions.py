"""What ingest decided about the data where the data left it open, each with its reason.

A decision that goes unsaid is one that nobody can correct. Every part of ingest adds to one `Decisions`; the
card keeps them, and the terminal, the report and MLflow show them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Decision:
    """One decision.

    Attributes:
        topic: what kind of thing it is about: ``column``, ``table``, ``archive``, ``labels``, ``files``.
        name: which one, as the column's or the file's name; empty if the topic has only one.
        choice: what was decided, in a few words: ``numeric``, ``left out``, ``UTF-8 names``.
        reason: what in the data spoke for it.
        warning: whether the user should look at it.
    """

    topic: str
    name: str
    choice: str
    reason: str = ""
    warning: bool = False

    def __str__(self) -> str:
        subject = f"{self.topic} {self.name!r}" if self.name else self.topic
        return f"{subject}: {self.choice}" + (f" ({self.reason})" if self.reason else "")


class Decisions:
    """The decisions of one ingest, in the order in which they were first made.

    A source may be read twice: a later decision about the same topic and name replaces the earlier one.
    """

    def __init__(self) -> None:
        self._by_subject: dict[tuple[str, str], Decision] = {}

    def __iter__(self) -> Iterator[Decision]:
        return iter(self._by_subject.values())

    def __len__(self) -> int:
        return len(self._by_subject)

    def add(self, topic: str, name: str, choice: str, reason: str = "", *, warning: bool = False) -> None:
        """Record a decision; arguments as of `Decision`."""
        self._by_subject[topic, name] = Decision(topic, name, choice, reason, warning)

    def update(self, others: Iterable[Decision]) -> None:
        """Add decisions that were made elsewhere."""
        for decision in others:
            self._by_subject[decision.topic, decision.name] = decision

    def card(self) -> list[dict[str, Any]]:
        """Return the decisions as plain data for the card."""
        return [asdict(decision) for decision in self]


#: Subjects of equal choice that a summary names before it counts the rest.
_NAMED = 6


def from_card(card: Mapping[str, Any]) -> list[Decision]:
    """Return the decisions that a card holds; none for a card written before there were any."""
    return [Decision(**decision) for decision in card.get("decisions", ())]


def summarise(decisions: Sequence[Decision]) -> list[str]:
    """Summarise the decisions in a few lines.

    Returns:
        A line for each warning with its reason, then a line for each group of the others of equal topic and
        choice: ``columns numeric: age, income, height and 14 more``.
    """
    lines = [f"warning: {decision}" for decision in decisions if decision.warning]
    groups: dict[tuple[str, str], list[Decision]] = {}
    for decision in decisions:
        if not decision.warning:
            groups.setdefault((decision.topic, decision.choice), []).append(decision)
    for (topic, choice), group in groups.items():
        if len(group) == 1:
            lines.append(str(group[0]))
            continue
        names = ", ".join(decision.name for decision in group[:_NAMED])
        more = f" and {len(group) - _NAMED} more" if len(group) > _NAMED else ""
        lines.append(f"{topic}s {choice}: {names}{more}")
    return lines
