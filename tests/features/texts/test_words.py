"""Words out of running text, and looked up again."""

from pathlib import Path

import pytest
import tensorflow as tf

from features.texts import tokenizer, words
from features.texts.words import WordLookup, WordTokenizer


def test_signs_are_left_out_unless_they_are_wanted() -> None:
    texts = tf.constant(["It's 3.5 -- «Straße», naïve!", "...", ""])
    assert WordTokenizer()(texts).to_list() == [
        [w.encode() for w in ("it", "'s", "3", "5", "straße", "naïve")],
        [],
        [],
    ]
    kept = WordTokenizer("blanks", lowercase=False, signs="keep")(texts).to_list()
    assert kept[0] == [b"It's", b"3.5", b"--", "«Straße»,".encode(), "naïve!".encode()]


def test_a_corpus_is_cut_in_its_order_and_long_texts_go_on_in_the_next_line(tmp_path: Path) -> None:
    texts = [b"b a", b"", b"a c a"] * 300 + [b"x " * (words.LONGEST + 1)]
    cut = list(words.cut(WordTokenizer(), texts))
    assert cut[:3] == [[b"b", b"a"], [], [b"a", b"c", b"a"]]
    assert len(cut) == 901
    words.write(cut, tmp_path / "words.txt")
    lines = (tmp_path / "words.txt").read_bytes().splitlines()
    assert lines[:2] == [b"b a", b"a c a"]
    assert [len(line.split()) for line in lines[-2:]] == [words.LONGEST, 1]
    assert tokenizer.totals(cut) == {"a": 900, "b": 300, "c": 300, "x": words.LONGEST + 1}


def test_words_are_looked_up_and_named_again() -> None:
    lookup = WordLookup(["the", "straße", "'s"])
    ids = lookup(tf.constant([[" The", "STRASSE"], ["Straße", "'s"], ["", "the cat"]]))
    assert ids.numpy().tolist() == [[0, 3], [1, 2], [3, 3]]
    assert [w.decode() for w in lookup.words(tf.constant([2, 0, 1, 3])).numpy()] == [
        "'s",
        "the",
        "straße",
        "",
    ]
    with pytest.raises(tf.errors.InvalidArgumentError):
        lookup(tf.constant([b"\xff"]))
    with pytest.raises(ValueError, match="empty vocabulary"):
        WordLookup([])
