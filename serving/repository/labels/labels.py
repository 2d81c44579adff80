"""Which version each label of a model names, as its history says.

The label ``stable`` names the version that answers requests without version and label. While a canary is
under way, the label ``canary`` names a second one, which answers a share of them. Both are derived from one
append-only file, so that no crash leaves two answers to what is in service.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

STABLE, CANARY = "stable", "canary"

#: Events that change what a label names; each ends a canary, unless it begins one.
MOVES = ("promote", "rollback", "repair")

Events = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Canary:
    """A version on trial.

    Attributes:
        version: the version.
        share: percentage of the requests without version and label that it answers.
        since: when the trial began with this share, in UTC, ISO 8601.
    """

    version: int
    share: float
    since: str

    def answers(self, model: str, client: str) -> bool:
        """Return whether this version answers a client's requests.

        Clients are spread evenly by a hash, so that each stays with its version. With a larger share
        further clients come to the canary and none leaves it; another version is tried on others.

        Args:
            model: the model's name.
            client: whatever tells clients apart.
        """
        text = f"{model}\0{self.version}\0{client}".encode("utf-8", "surrogateescape")
        place = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
        return place * 100 < self.share * 2**64


def label_of(event: dict[str, Any]) -> str:
    """Return the label that an event is about."""
    return event.get("label", STABLE)


def moves(events: Events, label: str = STABLE) -> list[dict[str, Any]]:
    """Return the events that moved a label, oldest first."""
    return [event for event in events if event["event"] in MOVES and label_of(event) == label]


def stable(events: Events) -> int | None:
    """Return the version labelled ``stable``, or None before the first promotion."""
    moved = moves(events)
    return moved[-1]["version"] if moved else None


def canary(events: Events) -> Canary | None:
    """Return the canary under way, or None."""
    last = next((event for event in reversed(events) if event["event"] in MOVES), None)
    if last is None or label_of(last) != CANARY or last["version"] is None:
        return None
    return Canary(last["version"], last["share"], last["at"])


def earlier(events: Events, versions: Sequence[int]) -> int | None:
    """Return the version that a rollback goes to, or None.

    It is what was stable before the present version was first promoted, so that a second rollback goes
    further back and not forth again.

    Args:
        events: of the model.
        versions: that there are.
    """
    order: list[int] = []
    for number in (event["version"] for event in moves(events) if event["version"] is not None):
        order = [*order[: order.index(number)], number] if number in order else [*order, number]
    present = stable(events)
    return next((number for number in reversed(order) if number != present and number in versions), None)
