"""Texts to ids: what a token is, in every script, and what the vocabulary, padding and limits do."""

import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from features.counts import choose
from features.datasets.batches import bucketed, epoch_order
from features.texts.featurizer import TextFeaturizer
from features.texts.tokenizer import Tokenizer, count


def tokens(text: str, unit: str = "words", lowercase: bool = True) -> list[str]:
    found = Tokenizer(unit, lowercase)(tf.constant([text.encode()]))
    return [token.decode() for token in found[0].numpy()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's a film, isn't it?", ["it", "'s", "a", "film", ",", "is", "n't", "it", "?"]),
        ("they\u2019ve done 3 things", ["they", "'ve", "done", "3", "things"]),
        ("is n't it 's", ["is", "n't", "it", "'s"]),
        ("well-made ... U.S.", ["well", "-", "made", ".", ".", ".", "u", ".", "s", "."]),
        ("ÉCOLE Straße ΣΟΦΌΣ", ["école", "straße", "σοφός"]),
        ("cafe\u0301 नमस्ते", ["cafe\u0301", "नमस्ते"]),
        ("多謝\u3000你", ["多謝", "你"]),
        ("good \U0001f600\U0001f600 bad", ["good", "\U0001f600", "\U0001f600", "bad"]),
        ("a\u00a0b\tc\r\nd\u2028e\x0bf", ["a", "b", "c", "d", "e", "f"]),
        ("", []),
        (" \n ", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


def test_blanks_and_characters() -> None:
    assert tokens("It's  a-b C.", "blanks", lowercase=False) == ["It's", "a-b", "C."]
    assert tokens(" Ébc\n\U0001f600 ", "characters", lowercase=False) == ["É", "b", "c", " ", "\U0001f600"]
    with pytest.raises(ValueError, match="got syllables"):
        Tokenizer("syllables")


@given(st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), max_size=30))
@settings(max_examples=200, deadline=None)
def test_characters_lose_nothing_of_any_script(text: str) -> None:
    assert "".join(tokens(text, "characters", lowercase=False)) == text
    assert "".join(tokens(text, "blanks", lowercase=False)) == text


@given(st.text(st.characters(codec="ascii", exclude_characters="'\0"), max_size=40))
@settings(max_examples=100, deadline=None)
def test_words_are_those_of_a_plain_expression(text: str) -> None:
    expected = re.findall(r"[a-z0-9]+|[^\s\x00-\x1f\x7f]", text.lower())
    assert tokens(text) == expected


def layer(*vocabulary: str, **options: object) -> TextFeaturizer:
    return TextFeaturizer(vocabulary or ("a", "b", "c"), **options)


def test_ids_are_places_in_the_vocabulary() -> None:
    ids = layer()(tf.constant(["b a", "c d e c a", ""])).numpy()
    assert ids.tolist() == [[2, 1, 0, 0, 0], [3, 4, 4, 3, 1], [4, 0, 0, 0, 0]]
    assert ids.dtype == np.int32
    assert layer().size == 5


def test_a_batch_of_empty_texts_is_a_batch() -> None:
    assert layer()(tf.constant(["", " "])).numpy().tolist() == [[4], [4]]
    assert layer()(tf.constant([], tf.string)).shape[0] == 0


def test_long_texts_are_cut_as_asked() -> None:
    text = tf.constant(["a b c a b"])
    assert layer(max_tokens=3)(text).numpy().tolist() == [[1, 2, 3]]
    assert layer(max_tokens=3, keep="tail")(text).numpy().tolist() == [[3, 1, 2]]
    assert layer(max_tokens=9, keep="tail")(text).numpy().tolist() == [[1, 2, 3, 1, 2]]


def test_what_is_no_text_is_an_invalid_argument() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        layer()(tf.constant([b"good", b"\xff\xfe"]))


def test_another_vocabulary_is_another_fingerprint() -> None:
    assert layer().fingerprint == layer().fingerprint
    others = [layer("a"), layer(unit="blanks"), layer(lowercase=False), layer(max_tokens=2)]
    assert len({one.fingerprint for one in [layer(), *others]}) == 5
    with pytest.raises(ValueError, match="empty vocabulary"):
        TextFeaturizer(())


def test_counting_and_choosing() -> None:
    texts = [b"a b a", b"b c", "é".encode()]
    counts, lengths = count(Tokenizer(), texts, batch_size=2)
    assert counts == {"a": 2, "b": 2, "c": 1, "é": 1}
    assert lengths == [3, 2, 1]
    assert choose(counts) == ["a", "b", "c", "é"]
    assert choose(counts, min_count=2) == ["a", "b"]
    assert choose(counts, max_size=3) == ["a", "b", "c"]


def test_buckets_hold_every_example_once_and_like_lengths_together() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 1003)
    order = epoch_order(len(lengths), seed=3, epoch=1)
    found = bucketed(order, lengths, 10, seed=3, epoch=1)
    assert sorted(found) == list(range(1003))
    np.testing.assert_array_equal(found, bucketed(order, lengths, 10, seed=3, epoch=1))

    def padded(places: np.ndarray) -> int:
        return sum(10 * int(lengths[places[start : start + 10]].max()) for start in range(0, 1000, 10))

    assert padded(found) < 1.15 * lengths.sum() < 0.7 * padded(order)
    # Neither the short nor the long batches come first.
    means = np.array([lengths[found[start : start + 10]].mean() for start in range(0, 1000, 10)])
    assert abs(np.corrcoef(means, np.arange(100))[0, 1]) < 0.4


def spelt(word: str) -> list[str]:
    """Return the pieces of a word by hand."""
    whole = f"<{word}>"
    return [whole[at : at + size] for size in (3, 4, 5) for at in range(len(whole) - size + 1)]


def test_subwords_stand_beside_the_id_of_their_token() -> None:
    ids = layer("good", "b", subwords=1000)(tf.constant(["b good", "goodness gracious me", ""])).numpy()
    assert ids.shape == (3, 3, 33)
    assert ids.dtype == np.int32
    assert ids[..., 0].tolist() == [[2, 1, 0], [3, 3, 3], [3, 0, 0]]
    words = {(0, 0): "b", (0, 1): "good", (1, 0): "goodness", (1, 1): "gracious", (1, 2): "me"}
    for place, word in words.items():
        hashed = tf.strings.to_hash_bucket_fast(spelt(word), 1000).numpy() + 1
        assert ids[place][1:].tolist() == [*hashed, *[0] * (32 - len(hashed))], word
    assert not ids[2, 0, 1:].any()
    assert layer("good", subwords=1000).nothing.numpy().tolist() == [2] + [0] * 32


def test_subwords_of_every_script_and_of_long_words() -> None:
    ids = layer("a", subwords=2**20)(
        tf.constant(["\u00e9cole", "\u0928\u092e\u0938\u094d\u0924\u0947", "x" * 40])
    ).numpy()
    for row, word in enumerate(("\u00e9cole", "\u0928\u092e\u0938\u094d\u0924\u0947", "x" * 40)):
        hashed = tf.strings.to_hash_bucket_fast(spelt(word), 2**20).numpy() + 1
        assert ids[row, 0, 1:].tolist() == [*hashed, *[0] * 32][:32]


def test_subwords_need_tokens_of_several_characters() -> None:
    with pytest.raises(ValueError, match="got unit=characters, subwords=10"):
        layer(unit="characters", subwords=10)
    assert layer(subwords=10).fingerprint not in (layer().fingerprint, layer(subwords=11).fingerprint)
    made = TextFeaturizer.from_config(layer(subwords=10).get_config())
    assert made.fingerprint == layer(subwords=10).fingerprint
