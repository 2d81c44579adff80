"""Sub-words in the graph against sentencepiece's own, and back to the same text."""

import io
from itertools import pairwise

import numpy as np
import pytest
import sentencepiece
import tensorflow as tf

from features.errors import DataError
from features.texts import pieces
from features.texts.pieces import BYTES, END, FIRST, PADDING
from features.texts.subwords import LONGEST_WORD, Subwords, numbered
from tests.golden import sentence_pairs

SIZE = 700
TEXTS = [text for pair in sentence_pairs(400) for text in pair]
ODD = [
    "a",
    "two  blanks, and one behind ",
    " one before",
    "tab\tand\nline",
    "unseen: Ω ϡ 🙂 \u200b 龘",
    "ne\u0301e and née",
    "no" * 120,
    "«¿¡'\"—…»",
    "word0 слово1" * 3,
]


@pytest.fixture(scope="module")
def subwords() -> Subwords:
    return Subwords(*pieces.fit(TEXTS, SIZE, 0.999), 1000)


@pytest.fixture(scope="module")
def oracle():
    """sentencepiece's own processor of the same fit."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_writer=model,
        model_type="unigram",
        vocab_size=SIZE,
        hard_vocab_limit=False,
        byte_fallback=True,
        character_coverage=0.999,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def spelled(subwords: Subwords, ids) -> list[bytes]:
    return [pieces.contents(subwords.pieces)[number] for number in ids]


def own(oracle, text: str) -> list[bytes]:
    parts = oracle.encode(text, out_type=str)
    return [
        bytes([int(part[3:5], 16)]) if part.startswith("<0x") else part.replace("▁", " ").encode()
        for part in parts
    ]


def test_pieces_are_those_of_sentencepiece(subwords, oracle):
    texts = [*ODD, *TEXTS]
    for text, ids in zip(texts, numbered(subwords, texts), strict=True):
        assert ids[-1] == END
        assert spelled(subwords, ids[:-1]) == own(oracle, text)


def test_every_text_is_read_back_as_it_was(subwords):
    texts = [*ODD, *TEXTS, "", "\N{LOWER ONE EIGHTH BLOCK}", "x" * (2 * LONGEST_WORD + 1)]
    ids = subwords(tf.constant(texts))
    assert [text.decode() for text in subwords.text(ids).numpy()] == texts


def test_a_batch_is_coded_as_each_text_alone(subwords):
    together = numbered(subwords, [*ODD, *TEXTS])
    alone = [numbered(subwords, [text])[0] for text in [*ODD, *TEXTS[:40]]]
    for one, other in zip(alone, together, strict=False):
        np.testing.assert_array_equal(one, other)


def test_characters_without_a_piece_are_their_bytes(subwords):
    (ids,) = numbered(subwords, ["龘"])
    assert list(ids[1:-1] - BYTES) == list("龘".encode())


def test_a_long_text_is_cut_and_ended(subwords):
    short = Subwords(subwords.pieces, subwords.scores, 5)
    (whole,), (cut,) = numbered(subwords, [TEXTS[0] * 3]), numbered(short, [TEXTS[0] * 3])
    np.testing.assert_array_equal(cut, [*whole[:5], END])


def test_bytes_that_are_no_text_are_written_as_replacement_characters(subwords):
    ids = tf.constant([[BYTES + 0xE9, END, PADDING]])
    assert subwords.text(ids).numpy()[0].decode() == "\N{REPLACEMENT CHARACTER}"


def test_text_that_is_not_utf_8_is_refused(subwords):
    with pytest.raises(tf.errors.InvalidArgumentError):
        subwords(tf.constant([b"\xff"]))


def test_no_piece_crosses_a_blank(subwords):
    assert all(" " not in piece[1:] for piece in subwords.pieces)
    assert subwords.size == FIRST + len(subwords.pieces) <= SIZE


def test_the_pieces_alone_decide_the_fingerprint(subwords):
    again = Subwords.from_config(subwords.get_config())
    assert again.fingerprint == subwords.fingerprint
    fewer = Subwords(subwords.pieces[:-1], subwords.scores[:-1], 1000)
    assert len({subwords.fingerprint, fewer.fingerprint}) == 2


def test_pieces_are_fitted_alike_each_time():
    one, other = (pieces.fit(TEXTS, 500, 0.999) for _ in range(2))
    assert one == other
    assert all(first >= second for first, second in pairwise(one[1]))


def test_a_script_of_many_characters_leaves_room_for_longer_pieces():
    random = np.random.default_rng(0)
    characters = [chr(0x4E00 + number) for number in range(1500)]
    weights = 1 / np.arange(1, 1501) ** 1.8
    texts = ["".join(random.choice(characters, 30, p=weights / weights.sum())) for _ in range(500)]
    found, _ = pieces.fit(texts, SIZE, 1.0)
    assert max(map(len, found)) > 1
    assert sum(len(piece) == 1 for piece in found) <= SIZE - FIRST
    many = Subwords(*pieces.fit(texts, SIZE, 1.0), 1000)
    assert [text.decode() for text in many.text(many(tf.constant(texts))).numpy()] == texts


def test_too_little_text_is_refused():
    with pytest.raises(DataError, match="sub-words"):
        pieces.fit([], SIZE, 0.999)
