"""Split by content: where an example goes depends on its content and the seed alone.

Each example has a position in [0, 1), the hash of its content (for a picture: of its pixels) and the
seed. Positions below `test_fraction` are the test split, the next `validation_fraction` validation, the
rest training. So copies always go together, and an added file moves no other.

The one exception serves small classes: where these thresholds leave a split without any example of a
class, the example nearest to that split's range moves into it. Only in such a class can an added file
send an example back.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from features.errors import DataError

#: From the lowest positions to the highest.
_ORDER = ("test", "validation", "train")


def position(group: str, seed: int) -> float:
    """Place a group of equal content in [0, 1), evenly spread."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def assign(
    strata: Sequence[str] | None,
    groups: Sequence[str],
    given: Sequence[str | None],
    *,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
) -> list[str]:
    """Return every example its split.

    A split given by the data wins. Where the data give only one of validation and test beside train, that
    one is the test split, and validation is carved from train; where they give train alone, or nothing,
    both are carved.

    Args:
        strata: the class of each example, of which each must be in each split; None: positions alone decide.
        groups: what must stay together: equal for copies.
        given: train, validation or test where the data say so, else None.
        validation_fraction: of what is carved.
        test_fraction: of what is carved.
        seed: of the carving.

    Returns:
        The split of each example.

    Raises:
        DataError: the data has no training split, or a class is too small to be in each split.
    """
    splits = _given(given)
    sizes = {"test": test_fraction, "validation": validation_fraction}
    if "test" in splits:
        del sizes["test"]
    if "validation" in splits:
        del sizes["validation"]
    sizes = {split: size for split, size in sizes.items() if size > 0}
    carved = [index for index, split in enumerate(splits) if split in (None, "train")] if sizes else []
    named = [strata[index] for index in carved] if strata is not None else None
    chosen = _carve(named, [groups[index] for index in carved], sizes, seed)
    for index, split in zip(carved, chosen, strict=True):
        splits[index] = split
    complete = [split or "train" for split in splits]
    if strata is not None:
        _require_each_class(strata, complete)
    return complete


def joined(identities: Sequence[str], blocks: Sequence[str | None]) -> list[str]:
    """Name what must stay together: examples of one identity, and those of one block.

    Args:
        identities: equal for copies.
        blocks: None for an example without one.

    Returns:
        The group of each example; its identity where there are no blocks.
    """
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while (parent := parents.setdefault(name, name)) != name:
            name = parent
        return name

    for identity, block in zip(identities, blocks, strict=True):
        if block is not None:
            ends = sorted((root(f"block {block}"), root(identity)))
            parents[ends[1]] = ends[0]
    members: dict[str, str] = {}
    for identity in sorted(set(identities)):
        members.setdefault(root(identity), identity)
    return [members[root(identity)] for identity in identities]


def require_both(splits: Sequence[str]) -> None:
    """Check that there are training and test examples, where no class asks for its own.

    Raises:
        DataError: one of the two splits is empty.
    """
    for split in ("train", "test"):
        if splits and split not in splits:
            raise DataError(
                f"no example is left for the {split} split",
                got=f"{len(splits)} examples, in groups that stay together",
                expected=f"some in {split}",
                todo="add examples, choose another data.seed, or name a split column",
            )


def _given(splits: Sequence[str | None]) -> list[str | None]:
    present = set(splits) - {None}
    if present and "train" not in present:
        raise DataError(
            "the data has no training split",
            got=", ".join(sorted(map(str, present))),
            expected="a train split, and preferably validation and test splits",
        )
    if "validation" in present and "test" not in present:
        return ["test" if split == "validation" else split for split in splits]
    return list(splits)


def _carve(
    labels: Sequence[str] | None, groups: Sequence[str], sizes: Mapping[str, float], seed: int
) -> list[str]:
    """Split by position; then give each class, where there are any, an example in each split."""
    if not groups:
        return []
    ranges = _ranges(sizes)
    places = {group: position(group, seed) for group in set(groups)}
    split_of = {
        group: next(split for split, (low, high) in ranges.items() if low <= place < high)
        for group, place in places.items()
    }
    if labels is None:
        return [split_of[group] for group in groups]
    members: dict[str, set[str]] = defaultdict(set)
    for label, group in zip(labels, groups, strict=True):
        members[label].add(group)
    _require_enough(members, len(ranges))
    for label in sorted(members):
        _fill(members[label], split_of, places, ranges)
    return [split_of[group] for group in groups]


def _ranges(sizes: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    ranges, low = {}, 0.0
    for split in _ORDER:
        high = 1.0 if split == "train" else low + sizes.get(split, 0.0)
        if high > low:
            ranges[split] = (low, high)
        low = high
    return ranges


def _require_enough(members: Mapping[str, set[str]], least: int) -> None:
    small = {label: len(groups) for label, groups in sorted(members.items()) if len(groups) < least}
    if small:
        names = ", ".join(f"{label!r} ({count})" for label, count in small.items())
        raise DataError(
            f"{'a class is' if len(small) == 1 else 'classes are'} too small to split: {names}",
            got="the number of distinct examples in brackets",
            expected=f"at least {least} in each class, one for each split",
            todo=f"add examples, merge (data.merge) or leave out (data.drop) {next(iter(small))!r}",
        )


def _fill(
    groups: set[str],
    split_of: dict[str, str],
    places: Mapping[str, float],
    ranges: Mapping[str, tuple[float, float]],
) -> None:
    for split, (low, high) in sorted(ranges.items(), key=lambda item: item[0] != "train"):
        counts = Counter(split_of[group] for group in groups)
        if counts[split]:
            continue
        spare = [group for group in groups if counts[split_of[group]] > 1]
        nearest = min(spare, key=lambda group: (max(low - places[group], places[group] - high), group))
        split_of[nearest] = split


def _require_each_class(labels: Sequence[str], splits: Sequence[str]) -> None:
    for split in ("train", "test"):
        lacking = sorted(
            set(labels) - {label for label, own in zip(labels, splits, strict=True) if own == split}
        )
        if lacking:
            names = ", ".join(map(repr, lacking[:10]))
            raise DataError(
                f"no {split} example of class {names}",
                got=f"classes {', '.join(map(repr, sorted(set(labels))[:20]))}",
                expected=f"at least one {split} example of each class",
                todo=f"add some, merge (data.merge) or leave out (data.drop) {lacking[0]!r}",
            )
