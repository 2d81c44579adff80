"""Sub-words: fitted by sentencepiece on the training split, kept as plain pieces and scores.

A word begins with the blank before it, and so does a text. A piece is a run of characters within a word;
characters without a piece are written as their bytes, so that every text can be written and read back.
"""

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from features.errors import DataError

#: Ids: what fills up shorter texts, what a text begins and ends with, then 256 bytes, then the pieces.
PADDING, BEGIN, END, BYTES = 0, 1, 2, 3
FIRST = BYTES + 256
#: How sentencepiece writes a blank.
_BLANK = "\N{LOWER ONE EIGHTH BLOCK}"
#: Characters of the longest piece.
LONGEST = 16
#: What sentencepiece takes.
LEAST_COVERAGE = 0.98
#: Bytes of the longest text that pieces are fitted on.
_LONGEST_TEXT = 1 << 16


def fit(texts: Iterable[str], size: int, coverage: float) -> tuple[list[str], list[float]]:
    """Choose pieces by a unigram language model (Kudo 2018).

    Args:
        texts: of the training split, in both languages.
        size: number of ids; fewer where the texts have no use for them.
        coverage: share of all characters that get a piece of their own, the most frequent ones. It is less
            where these would take more than half of the pieces, as in scripts of thousands of characters.

    Returns:
        The pieces, blanks as blanks, and the logarithm of the probability of each.

    Raises:
        DataError: the texts are too few.
    """
    import sentencepiece

    texts, model = list(texts), io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="unigram",
            vocab_size=size,
            hard_vocab_limit=False,
            byte_fallback=True,
            character_coverage=max(LEAST_COVERAGE, min(coverage, _share(texts, (size - FIRST) // 2))),
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            max_sentencepiece_length=LONGEST,
            max_sentence_length=_LONGEST_TEXT,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise DataError(
            "cannot learn sub-words from the training split",
            got=str(error).splitlines()[-1][:200],
            expected="sentences with more different words",
            todo="raise featurizer.vocabulary, or add examples",
        ) from error
    return _pieces(sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()))


def _share(texts: Sequence[str], most: int) -> float:
    """Return the share of all characters that the most frequent ones make up."""
    counts = Counter(character for text in texts for character in text if character != " ")
    # A little less, so that rounding adds no character.
    return sum(count for _, count in counts.most_common(most)) / max(1, counts.total()) - 1e-7 * (
        len(counts) > most
    )


def _pieces(model: Any) -> tuple[list[str], list[float]]:
    normal = [
        number
        for number in range(model.vocab_size())
        if not (model.is_control(number) or model.is_unknown(number) or model.is_byte(number))
    ]
    pieces = [model.id_to_piece(number).replace(_BLANK, " ") for number in normal]
    return pieces, [model.get_score(number) for number in normal]


def contents(pieces: Sequence[str]) -> list[bytes]:
    """Return what each id is written as: nothing for the first ones, then the bytes, then the pieces."""
    return [b""] * BYTES + [bytes([byte]) for byte in range(256)] + [piece.encode() for piece in pieces]
