"""How much the length of a translation counts in the search for it: the best on validation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from models.evaluation.measures.translations import bleu_metric, chrf_metric
from models.network import Network
from models.networks.texts.writer import Writer

#: What is tried.
PENALTIES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
#: What is taken without a validation split.
USUAL = 1.0
#: Sentences on which they are tried.
_MOST = 400


def choose(
    network: Network,
    writer: Writer,
    given: float | None,
    batches: Sequence[tuple[Any, Any]],
) -> None:
    """Set the exponent of the length to the one with the highest sum of BLEU and chrF.

    BLEU punishes answers that are too short as a whole, chrF sees words of languages without blanks.

    Args:
        network: trained; it writes ids for ids and reads them as text.
        writer: whose penalty is set.
        given: the exponent, where the recipe names it.
        batches: ids of sources and targets of validation examples.
    """
    assert network.write is not None, "a network that translates writes"
    batches = batches[: max(1, _MOST // len(batches[0][0]))] if batches else ()
    if given is not None or not batches:
        writer.length_penalty.assign(USUAL if given is None else given)
        return
    write = tf.function(network.write, reduce_retracing=True, autograph=False)
    texts = [text for _, targets in batches for text in _texts(network, (targets, np.zeros(len(targets))))]
    scores = []
    for penalty in PENALTIES:
        writer.length_penalty.assign(penalty)
        answers = [text for sources, _ in batches for text in _texts(network, write(tf.constant(sources)))]
        scores.append(
            sum(metric.corpus_score(answers, [texts]).score for metric in (bleu_metric(), chrf_metric()))
        )
    writer.length_penalty.assign(PENALTIES[int(np.argmax(scores))])


def _texts(network: Network, written: Any) -> list[str]:
    assert network.decode is not None, "a network that translates reads its ids"
    return [text.decode() for text in network.decode(written, ())["text"].numpy()]
