"""Views of a dataset by fold: every example tested once, copies together, classes never lost."""

from pathlib import Path

import pandas as pd
import pytest

from features.datasets import folds
from features.datasets.dataset import Dataset
from features.errors import DataError


def dataset(rows: list[tuple[str, str, str | None]]) -> Dataset:
    """A dataset of (content, label, fold)."""
    frame = pd.DataFrame(rows, columns=["sha256", "label", "fold"]).assign(split="train")
    frame["name"] = frame["sha256"]
    labels = tuple(sorted(set(frame["label"])))
    return Dataset(Path(), "whole", labels, labels, {}, frame, Path())


def spread(count: int = 60, parts: int = 3) -> Dataset:
    return dataset(
        [(f"{number:064x}", "ab"[number % 2], str(number // 2 % parts)) for number in range(count)]
    )


def test_every_example_is_tested_once() -> None:
    whole = spread()
    tested: list[str] = []
    for value in folds.values(whole):
        seen = folds.view(whole, {"value": value, "validation": 0.2, "seed": 0})
        mine = seen.frame[seen.frame["split"] == "test"]
        assert set(mine["fold"]) == {value}
        assert set(seen.frame["split"]) == {"train", "validation", "test"}
        tested += list(mine["sha256"])
        assert seen.fingerprint != whole.fingerprint
    assert sorted(tested) == sorted(whole.frame["sha256"])


def test_the_whole_view_tests_nothing_and_measures_everything() -> None:
    seen = folds.view(spread(), {"value": None, "validation": 0.2, "seed": 0})
    assert set(seen.frame["split"]) == {"train", "validation"}
    assert len(seen.measured) == 60


def test_copies_follow_the_first_of_them() -> None:
    rows = [("same", "a", "0"), ("same", "a", "1")]
    rows += [(str(number), "ab"[number % 2], str(number // 2 % 2)) for number in range(20)]
    seen = folds.view(dataset(rows), {"value": "0", "validation": 0.0, "seed": 0})
    assert set(seen.frame.loc[seen.frame["sha256"] == "same", "split"]) == {"test"}
    seen = folds.view(dataset(rows), {"value": "1", "validation": 0.0, "seed": 0})
    assert set(seen.frame.loc[seen.frame["sha256"] == "same", "split"]) == {"train"}


def test_a_small_class_is_not_held_out_whole() -> None:
    rows = [("one", "rare", "0"), ("two", "rare", "1")]
    rows += [(str(number), "common", str(number % 2)) for number in range(40)]
    seen = folds.view(dataset(rows), {"value": "0", "validation": 0.99, "seed": 0})
    assert seen.frame.set_index("sha256").loc["two", "split"] == "train"


def test_folds_come_in_the_order_of_numbers() -> None:
    rows = [(str(number), "a", str(number)) for number in range(12)] + [("x", "a", "x")]
    assert folds.values(dataset(rows)) == [*map(str, range(12)), "x"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("1", "a", "0"), ("2", "b", None)], "without a fold"),
        ([("1", "a", "0"), ("2", "b", "0")], "only fold 0"),
    ],
)
def test_folds_that_cannot_be_are_named(rows: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        folds.values(dataset(rows))


def test_a_class_in_one_fold_alone_is_named() -> None:
    rows = [("1", "a", "0"), ("2", "a", "1"), ("3", "lonely", "0")]
    with pytest.raises(DataError, match="lonely"):
        folds.view(dataset(rows), {"value": "0", "validation": 0.0, "seed": 0})
