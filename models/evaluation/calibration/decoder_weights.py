"""How much a language model and a bonus for each label count in decoding: the best on validation."""

import itertools
from collections.abc import Sequence
from typing import Any

import jiwer
import numpy as np
import tensorflow as tf

from features.targets import transcript
from models.export.sequences import transcripts
from models.export.sequences.transcripts import Writing

#: What is tried for each.
WEIGHTS, BONUSES = (0.2, 0.4, 0.6, 0.8, 1.0), (0.0, 0.5, 1.0, 1.5, 2.0)
#: What is taken without a validation split.
USUAL = (0.5, 1.0)
#: Recordings on which they are tried.
_MOST = 200


def choose(
    model: Any,
    favour: Any,
    writing: Writing,
    given: tuple[float | None, float | None],
    batches: Sequence[tuple[Any, Any]],
) -> None:
    """Set the weight and the bonus to the pair with the lowest sum of word and character error rate.

    Args:
        model: trained; from features to outputs.
        favour: variable of the two, which the decoder reads.
        writing: how outputs become text.
        given: the two where the recipe names them.
        batches: inputs and labels of validation examples.
    """
    weights, bonuses = (
        tried if value is None else (value,) for value, tried in zip(given, (WEIGHTS, BONUSES), strict=True)
    )
    if writing.search.model is None:
        weights = (0.0,)
    batches = [batch for batch in batches[: _MOST // 8] if len(batch[1])]
    pairs = list(itertools.product(weights, bonuses))
    if len(pairs) == 1 or not batches or writing.search.width == 1:
        usual = [value if value is not None else default for value, default in zip(given, USUAL, strict=True)]
        favour.assign(pairs[0] if len(pairs) == 1 else usual)
        return
    decode = tf.function(
        lambda outputs: transcripts.texts(outputs, writing), reduce_retracing=True, autograph=False
    )
    outputs = [model(inputs, training=False) for inputs, _ in batches]
    truth = [text for _, labels in batches for text in _texts(np.asarray(labels), writing)]
    rates = []
    for pair in pairs:
        favour.assign(pair)
        answers = [text.decode() for each in outputs for text in decode(each).numpy()]
        rates.append(_rate(truth, answers))
    favour.assign(pairs[int(np.argmin(rates))])


def _texts(labels: np.ndarray, writing: Writing) -> list[str]:
    units = "words" if writing.words else "characters"
    return [transcript.joined((writing.alphabet[one] for one in row if one >= 0), units) for row in labels]


def _rate(truth: Sequence[str], answers: Sequence[str]) -> float:
    # A transcript of unknown labels alone says nothing here.
    pairs = [pair for pair in zip(truth, answers, strict=True) if pair[0].strip()]
    if not pairs:
        return 0.0
    references, answered = zip(*pairs, strict=True)
    return float(jiwer.wer(list(references), list(answered)) + jiwer.cer(list(references), list(answered)))
