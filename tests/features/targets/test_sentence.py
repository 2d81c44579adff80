"""Sentences as targets: kept as they are, several for one source, and what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.datasets.sequences import Sequences
from features.errors import DataError
from features.ingest.ingest import ingest
from features.sources.files.candidates import Columns
from features.spec import TEXT
from features.targets.sentence import SENTENCE
from features.targets.target import Gathered
from features.texts.rules import PairRules

COLUMNS = Columns(input="english", target="french", split="split")


def dataset(folder: Path, rows: list[tuple[str, str, str]], **rules):
    path = folder / "pairs.tsv"
    head = "english\tfrench\tsplit\n"
    path.write_text(head + "".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    settings = PairRules(**({"max_bad_fraction": 0.9, "decode_processes": 1} | rules))
    found = ingest(path, raw=TEXT, target=SENTENCE, columns=COLUMNS, rules=settings, root=folder / "datasets")
    card = found.card
    assert card["found"] == card["accepted"] + card["quarantined"] + card["skipped"]
    return found


def reasons(found) -> dict[str, int]:
    return found.card["reasons"]


def pairs(found) -> list[tuple[str, str, str]]:
    frame = found.frame
    return sorted(
        zip(
            (found.read(row).decode() for row in frame.itertuples()),
            frame["target"],
            frame["split"],
            strict=True,
        )
    )


def test_all_targets_of_a_source_are_kept_as_they_are(tmp_path):
    rows = [
        ("Go.", "Va !", "train"),
        ("Go.", "Allez-y\u00a0!", "train"),
        ("Go.", " « ne\u0301e » ", "train"),
        ("None", "NA", "train"),
        ('a "quote', 'une "citation', "validation"),
        ("Fire!", "Au feu !", "test"),
    ]
    assert pairs(dataset(tmp_path, rows)) == sorted(rows)


def test_the_same_pair_twice_is_two_examples(tmp_path):
    rows = [("Go.", "Va !", "train"), ("Go.", "Va !", "train"), ("Run!", "Cours !", "test")]
    found = dataset(tmp_path, rows)
    assert pairs(found) == sorted(rows)
    assert found.card["duplicates"]["copies"] == 1


def test_a_source_in_two_splits_stays_in_the_test_split(tmp_path):
    rows = [("Go.", "Va !", "train"), ("Go.", "Allez !", "test"), ("Run!", "Cours !", "train")]
    found = dataset(tmp_path, rows)
    assert reasons(found) == {"split_conflict": 1}
    assert pairs(found) == sorted(rows[1:])


def test_several_targets_are_refused_where_the_rules_say_so(tmp_path):
    rows = [("Go.", "Va !", "train"), ("Go.", "Allez !", "train"), ("a", "b", "train"), ("c", "d", "test")]
    assert reasons(dataset(tmp_path, rows, conflicts="quarantine")) == {"conflicting_labels": 2}


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (("Go.", ""), "missing_value"),
        (("Go.", "\u3000 "), "missing_value"),
        (("", "Va !"), "missing_value"),
        (("Go.", "a" * 91), "unlike_length"),
        (("a" * 91, "Va !"), "unlike_length"),
        (("a" * 300, "b" * 1001), "too_long"),
        (("a" * 1001, "b" * 300), "too_long"),
    ],
)
def test_pairs_that_cannot_be_used_are_quarantined(tmp_path, pair, reason):
    good = [("one", "un", "train"), ("two", "deux", "test"), ("three", "trois", "train")]
    found = dataset(tmp_path, [*good, (*pair, "train")])
    assert reasons(found) == {reason: 1}
    assert pairs(found) == sorted(good)


def test_lengths_are_compared_as_the_rules_say(tmp_path):
    rows = [("one", "u" * 90, "train"), ("two", "deux", "test"), ("t" * 20, "t" * 181, "train")]
    assert reasons(dataset(tmp_path, rows)) == {"unlike_length": 1}
    assert reasons(dataset(tmp_path, rows, max_ratio=None)) == {}


def test_splits_follow_the_source_where_the_data_give_none(tmp_path):
    rows = [(f"source {number // 3}", f"target {number}", "") for number in range(300)]
    path = tmp_path / "pairs.csv"
    pd.DataFrame(rows, columns=["english", "french", "split"]).drop(columns="split").to_csv(path, index=False)
    rules = PairRules(decode_processes=1)
    columns = Columns(input="english", target="french")
    found = ingest(path, raw=TEXT, target=SENTENCE, columns=columns, rules=rules, root=tmp_path / "datasets")
    assert found.frame.groupby("sha256")["split"].nunique().max() == 1
    assert set(found.frame["split"]) == {"train", "validation", "test"}


def test_the_card_describes_the_targets_by_split():
    described = SENTENCE.summarise(["a", "abc", "abc"], ["train", "train", "test"], [])["sentences"]
    assert described["train"] == {"examples": 2, "different": 2, "least": 1, "median": 2, "most": 3}
    assert list(described) == ["train", "test"]


def test_no_example_at_all_is_refused():
    with pytest.raises(DataError, match="no usable example"):
        SENTENCE.check(Gathered([], instead="nothing"))


def test_sequences_are_as_long_as_the_longest_of_those_asked_for():
    rows = Sequences([np.array([1, 2, 3]), np.array([4]), np.array([5, 6])])
    np.testing.assert_array_equal(rows[np.array([1, 2])], [[4, 0], [5, 6]])
    np.testing.assert_array_equal(rows[np.array([0, 1])], [[1, 2, 3], [4, 0, 0]])
    assert len(rows) == 3
    assert rows.lengths.tolist() == [3, 1, 2]
    assert SENTENCE.misfits(rows, 6).tolist() == [2]
