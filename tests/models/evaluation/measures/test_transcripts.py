"""Error rates of transcripts against counts by hand."""

import numpy as np
import pytest

from features.errors import DataError
from models.evaluation.measures import transcripts

REFERENCES = ["one two three", "yes", "a b c d"]
ANSWERS = ["one too three four", "", "a b c d"]


def test_rates_count_substituted_missing_and_added_words() -> None:
    metrics = transcripts.evaluate(REFERENCES, ANSWERS).metrics
    assert metrics["test/wer"] == pytest.approx(3 / 8)
    assert metrics["test/substitutions"] == metrics["test/deletions"] == metrics["test/insertions"] == 1
    # w to o, " four", and "yes".
    assert metrics["test/cer"] == pytest.approx((1 + 5 + 3) / (13 + 3 + 7))
    assert metrics["test/sentence_error_rate"] == pytest.approx(2 / 3)
    assert metrics["test/wer_low"] <= metrics["test/wer"] <= metrics["test/wer_high"]
    assert (metrics["test/words"], metrics["test/examples"]) == (8, 3)


def test_intervals_resample_whole_blocks() -> None:
    references, answers = ["a"] * 40, ["a"] * 20 + ["b"] * 20
    apart = transcripts.evaluate(references, answers).interval
    blocks = np.repeat(["x", "y"], 20)
    together = transcripts.evaluate(references, answers, blocks=blocks).interval
    assert 0.3 < apart.low < apart.high < 0.7
    assert (together.low, together.high) == (0, 1)


def test_confused_words_are_paired() -> None:
    confused = transcripts.evaluate([*REFERENCES, "one two"], [*ANSWERS, "one too"]).confused
    rows = [tuple(row) for row in confused.to_numpy(object)]
    assert rows[0] == ("two", "too", 2)
    assert set(rows[1:]) == {("", "four", 1), ("yes", "", 1)}


def test_worst_examples_come_first_with_their_chunks() -> None:
    worst = transcripts.evaluate(REFERENCES, ANSWERS).worst
    assert worst["row"].tolist() == [0, 1, 2]
    assert worst["errors"].tolist() == [2, 1, 0]
    assert transcripts.chunks(REFERENCES[0], ANSWERS[0]) == [
        ("equal", "one", "one"),
        ("substitute", "two", "too"),
        ("equal", "three", "three"),
        ("insert", "", "four"),
    ]
    assert transcripts.chunks("yes", "") == [("delete", "yes", "")]


def test_texts_are_read_from_the_outputs() -> None:
    texts = transcripts.read({"text": np.array(["é a".encode(), b""], object)}, ())
    assert texts.tolist() == ["é a", ""]


def test_answers_must_fit() -> None:
    with pytest.raises(DataError, match="answers do not match"):
        transcripts.evaluate(["a"], ["a", "b"])
