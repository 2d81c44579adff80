"""Copies: the same content under two labels or in two splits, and what is merely worth a note."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from features.ingest.examination import Example

#: Of copies in several splits given by the data, the one in the first of these stays.
_PRECEDENCE = ("test", "validation", "train")
#: Characters of a label that a message shows.
_BRIEF = 100

Refuse = Callable[[Example, str, str], None]


def resolve(examples: Sequence[Example], refuse: Refuse, *, conflicts: str = "quarantine") -> list[Example]:
    """Refuse contradictions between examples of the same content.

    Content under two labels is refused in all its copies. Content in two splits given by the data is kept
    in the one that matters most for an honest figure: test before validation before train.

    Args:
        examples: accepted so far.
        refuse: called as refuse(example, reason, detail) for each that must go.
        conflicts: ``keep`` leaves content under two labels as it is.

    Returns:
        The examples that stay, in their order.
    """
    refused: set[int] = set()
    for copies in _groups(examples, lambda example: example.verdict.sha256):
        if conflicts == "quarantine" and len({example.label for example in copies}) > 1:
            for example in copies:
                other = next(copy for copy in copies if copy.label != example.label)
                refuse(
                    example,
                    "conflicting_labels",
                    f"labelled {_brief(example.label)}; the same content is {_show(other)}",
                )
                refused.add(id(example))
        elif len({example.split for example in copies}) > 1:
            refused.update(map(id, _refuse_splits(copies, refuse)))
    return [example for example in examples if id(example) not in refused]


def _refuse_splits(copies: Sequence[Example], refuse: Refuse) -> list[Example]:
    best = min(copies, key=lambda example: _PRECEDENCE.index(example.split or "train"))
    lost = [example for example in copies if example.split != best.split]
    for example in lost:
        refuse(
            example, "split_conflict", f"in {example.split}; the same content is {_show(best)}, which stays"
        )
    return lost


def annotate(examples: Sequence[Example]) -> dict[str, int]:
    """Note copies on the examples, after they have their splits.

    Returns:
        Counts for the card: ``copies`` (examples beyond the first of equal content), ``near_copies`` (beyond
        the first of equal pixels in other bytes), and of the groups of near copies those that lie
        ``near_copies_across_splits`` and ``near_copies_across_labels``.
    """
    counts = dict.fromkeys(
        ("copies", "near_copies", "near_copies_across_splits", "near_copies_across_labels"), 0
    )
    for copies in _groups(examples, lambda example: example.verdict.sha256):
        counts["copies"] += len(copies) - 1
        for example in copies:
            example.notes.append("duplicate")
    for copies in _groups(examples, lambda example: example.verdict.identity):
        contents = {example.verdict.sha256 for example in copies}
        if len(contents) > 1:
            counts["near_copies"] += len(contents) - 1
            counts["near_copies_across_splits"] += len({example.split for example in copies}) > 1
            counts["near_copies_across_labels"] += len({example.label for example in copies}) > 1
            for example in copies:
                example.notes.append("near_copy")
    return counts


def _groups(examples: Iterable[Example], key: Callable[[Example], str | None]) -> list[list[Example]]:
    """Group examples of equal key; groups of one are left out."""
    groups: dict[str | None, list[Example]] = defaultdict(list)
    for example in examples:
        groups[key(example)].append(example)
    return [group for group in groups.values() if len(group) > 1]


def _show(example: Example) -> str:
    split = f" in {example.split}" if example.split else ""
    return f"{example.candidate.name} ({_brief(example.label)}{split})"


def _brief(label: str) -> str:
    """Quote a label, of a long one its beginning."""
    return repr(label) if len(label) <= _BRIEF else f"{label[:_BRIEF]!r}..."
