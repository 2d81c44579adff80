"""From outputs to texts with the times of their words, on outputs made by hand."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from models.export.sequences import transcripts
from models.export.sequences.alignment import aligned
from models.export.sequences.beam import Search
from models.export.sequences.transcripts import Writing
from models.networks.sounds import ctc
from tests.models.networks.sounds.test_ctc import LABELS, logits

ALPHABET = ("a", "é", " ")


def outputs(*paths: str) -> tf.Tensor:
    """Make outputs that surely say these paths, with - for the blank; as long as the longest."""
    longest = max(map(len, paths))
    values = np.full((len(paths), longest, len(ALPHABET) + 1), np.nan, np.float32)
    for row, path in zip(values, paths, strict=True):
        row[: len(path)] = np.eye(len(ALPHABET) + 1)[["aé -".index(one) for one in path]] * 20
    return tf.constant(values)


def answer(*paths: str, words: bool = False, width: int = 4) -> dict[str, np.ndarray]:
    alphabet = ("uno", "due", "tre") if words else ALPHABET
    writing = Writing(alphabet, words, 0.5, Search(width))
    found = transcripts.transcripts(outputs(*paths), (), writing=writing)
    return {name: value.numpy() for name, value in found.items()}


@pytest.mark.parametrize("width", [1, 4])
def test_words_stand_where_they_were_said(width: int) -> None:
    given = answer("--aa-é  a--", "- a", "---", width=width)
    assert [text.decode() for text in given["text"]] == ["aé a", "a", ""]
    assert given["count"].tolist() == [2, 1, 0]
    assert [[word.decode() for word in row] for row in given["words"]] == [["aé", "a"], ["a", ""], ["", ""]]
    np.testing.assert_allclose(given["starts"], [[1.0, 4.0], [1.0, 0], [0, 0]])
    np.testing.assert_allclose(given["ends"], [[3.0, 4.5], [1.5, 0], [0, 0]])
    np.testing.assert_allclose(given["confidence"], 1, atol=1e-4)


def test_labels_that_are_words() -> None:
    given = answer("-a-éé-", "   ", words=True)
    assert [text.decode() for text in given["text"]] == ["uno due", "tre"]
    np.testing.assert_allclose(given["starts"], [[0.5, 1.5], [0, 0]])
    np.testing.assert_allclose(given["ends"], [[1.0, 2.5], [1.5, 0]])
    assert given["count"].tolist() == [2, 1]


def test_spaces_around_and_between_words_count_once() -> None:
    given = answer("  a -  é- ", "a é")
    assert [text.decode() for text in given["text"]] == ["a é", "a é"]
    assert given["count"].tolist() == [2, 2]


def test_confidence_is_the_root_of_the_probability() -> None:
    values = tf.constant(np.log([[[0.8, 0.1, 0.05, 0.05], [0.05, 0.05, 0.8, 0.1], [0.1, 0.8, 0.05, 0.05]]]))
    writing = Writing(ALPHABET, False, 1.0, Search(8))
    given = transcripts.transcripts(tf.cast(values, tf.float32), (), writing=writing)
    assert given["text"].numpy()[0].decode() == "a é"
    assert given["confidence"].numpy()[0] == pytest.approx(0.8**1.5, rel=1e-4)


@pytest.mark.parametrize("said", [(), (0,), (0, 1), (1, 1), (0, 1, 0)])
def test_the_alignment_is_the_best_path(said: tuple[int, ...]) -> None:
    values = logits([5, 5, 4])
    scores = ctc.log_probabilities(tf.constant(values))
    labels = np.array([[*said, *([-1] * (4 - len(said)))]] * 3, np.int32)
    first, behind = (
        each.numpy() for each in aligned(scores, ctc.lengths(tf.constant(values)), tf.constant(labels))
    )
    for place, length in enumerate((5, 5, 4)):
        best, spans = -np.inf, []
        for path in itertools.product(range(LABELS + 1), repeat=length):
            runs = [
                (label, [frame for frame, _ in run])
                for label, run in itertools.groupby(enumerate(path), key=lambda one: one[1])
            ]
            worth = sum(float(scores[place, frame, label]) for frame, label in enumerate(path))
            if tuple(label for label, _ in runs if label != LABELS) == said and worth > best:
                best = worth
                spans = [(frames[0], frames[-1] + 1) for label, frames in runs if label != LABELS]
        assert list(zip(first[place], behind[place], strict=True))[: len(said)] == spans
        assert not first[place, len(said) :].any()
        assert not behind[place, len(said) :].any()
