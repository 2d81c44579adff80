"""Signatures of networks that write a sentence for a sentence."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from features.spec import RawKind
from features.texts.pieces import PADDING
from models.export.signatures import Signature
from models.network import Network
from models.networks.texts.writer import shifted


def translate(beams: int | None = None) -> Signature:
    """Make the maker of a signature from texts to translations.

    Outputs: ``text`` [batch]; ``score``, the logarithm of its probability, divided by a function of its
    length (see `models.networks.texts.beam_search.Search`); ``tokens``, how many sub-words the source has,
    and ``truncated``, whether it has more than are read.

    Args:
        beams: width of the beam; None takes the recipe's, 1 is the greedy search.
    """

    def make(network: Network, raw: RawKind, decode: Callable[[Any], dict[str, Any]]) -> Any:
        @tf.function(
            input_signature=[tf.TensorSpec([None], tf.as_dtype(raw.dtype), name=raw.input)], autograph=False
        )
        def translate(texts: Any) -> dict[str, Any]:
            tokens = network.featurizer.tokens(texts)
            ids = network.featurizer.closed(tokens)
            return decode(_written(network, ids, beams)) | {
                "tokens": tokens.row_lengths(),
                "truncated": tokens.row_lengths() > network.featurizer.max_tokens,
            }

        return translate

    return make


def attention(network: Network, raw: RawKind, decode: Callable[[Any], dict[str, Any]]) -> Any:
    """Make the signature from texts to translations and where each sub-word looked.

    Outputs beside those of ``serving_default``: ``source_tokens`` string [batch, n], ``target_tokens`` string
    [batch, m], and ``attention`` [batch, m, n], whose rows add up to 1: mean over heads and layers. The last
    token of both is the end, an empty string; what fills shorter ones up is empty too, with attention 0.
    """

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.as_dtype(raw.dtype), name=raw.input)], autograph=False
    )
    def attention(texts: Any) -> dict[str, Any]:
        ids = network.featurizer(texts)
        symbols, scores = _written(network, ids, None)
        writer = network.model.get_layer("writer")
        _, weights = writer.states(ids, shifted(symbols), weights=True)
        there = tf.cast(tf.not_equal(symbols, PADDING), weights.dtype)[..., tf.newaxis]
        return decode((symbols, scores)) | {
            "source_tokens": network.featurizer.written(ids),
            "target_tokens": network.featurizer.written(symbols),
            "attention": weights * there,
        }

    return attention


def _written(network: Network, ids: Any, beams: int | None) -> Any:
    assert network.write is not None, "a network that translates writes"
    return network.write(ids, beams)
