"""The signatures of word vectors: neighbours, analogies, similarity, the odd one out.

The measure is the cosine, and an analogy is answered by 3CosAdd (Mikolov, Yih and Zweig 2013; Levy and
Goldberg 2014), as gensim's ``KeyedVectors.most_similar`` does. What a model does not know it says in
``known`` and ``unknown``; it is never an error.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from features.spec import RawKind
from models.search import ranking
from models.search.ranking import graph, strings

if TYPE_CHECKING:
    from models.network import Network

Decode = Callable[[Any], dict[str, Any]]


def usual_neighbours(network: "Network", raw: RawKind, decode: Decode) -> Any:
    """Make ``serving_default``: words [batch] to the ten nearest words of each.

    Outputs: ``words`` string and ``similarities`` float32, both [batch, 10], "" and 0 for an unknown word;
    ``known`` bool [batch].
    """

    @graph(strings(raw.input, 1))
    def serving_default(word: Any) -> dict[str, Any]:
        return _neighbours(
            network, word, tf.fill(tf.shape(word), min(ranking.USUAL, network.featurizer.size))
        )

    return serving_default


def most_similar(network: "Network", raw: RawKind, decode: Decode) -> Any:
    """Make the signature from words [batch] and ``k`` int32 [batch] to the k nearest words of each.

    Outputs as of `usual_neighbours`, as wide as the largest k; "" and 0 beyond a row's own k.
    """

    @graph(strings(raw.input, 1), tf.TensorSpec([None], tf.int32, name="k"))
    def most_similar(word: Any, k: Any) -> dict[str, Any]:
        return _neighbours(network, word, k)

    return most_similar


def analogy(network: "Network", raw: RawKind, decode: Decode) -> Any:
    """Make the signature that adds and takes away words: king + woman - man.

    Inputs: ``positive`` and ``negative`` string [batch, n], filled up with "", and ``k`` int32 [batch].
    Outputs as of `most_similar`, none of the words given among them; ``known`` tells whether all are known,
    and ``unknown`` string [batch] names those that are not.
    """

    @graph(strings("positive", 2), strings("negative", 2), tf.TensorSpec([None], tf.int32, name="k"))
    def analogy(positive: Any, negative: Any, k: Any) -> dict[str, Any]:
        lookup, space = network.featurizer, network.model.get_layer("space")
        words = tf.concat([positive, negative], 1)
        ids = lookup(words)
        signs = tf.concat([tf.ones_like(positive, tf.float32), -tf.ones_like(negative, tf.float32)], 1)
        total = tf.reduce_sum(space.unit(ids) * signs[..., tf.newaxis], 1)
        unknown, any_word = _unknown(lookup, words, ids)
        is_known = any_word & tf.equal(unknown, "")
        ranked = _ranked(network, tf.math.l2_normalize(total, 1), ids, k, is_known)
        return ranked | {"known": is_known, "unknown": unknown}

    return analogy


def similarity(network: "Network", raw: RawKind, decode: Decode) -> Any:
    """Make the signature from pairs of words [batch, 2] to their cosine.

    Outputs: ``similarity`` float32 [batch], 0 if a word is unknown; ``known`` bool and ``unknown`` string,
    as of `analogy`.
    """

    @graph(tf.TensorSpec([None, 2], tf.string, name="words"))
    def similarity(words: Any) -> dict[str, Any]:
        ids = network.featurizer(words)
        pair = network.model.get_layer("space").unit(ids)
        unknown, _ = _unknown(network.featurizer, words, ids)
        is_known = tf.reduce_all(ids < network.featurizer.size, 1)
        return {
            "similarity": tf.reduce_sum(pair[:, 0] * pair[:, 1], 1),
            "known": is_known,
            "unknown": unknown,
        }

    return similarity


def doesnt_match(network: "Network", raw: RawKind, decode: Decode) -> Any:
    """Make the signature from words [batch, n], filled up with "", to the one farthest from their mean.

    Outputs: ``word`` string [batch], as it was given, "" where none is known; ``known`` bool, whether all are
    known; ``unknown`` string, those that are not and were left out.
    """

    @graph(strings("words", 2))
    def doesnt_match(words: Any) -> dict[str, Any]:
        ids = network.featurizer(words)
        vectors = network.model.get_layer("space").unit(ids)
        there = ids < network.featurizer.size
        mean = tf.math.l2_normalize(tf.reduce_sum(vectors, 1), 1)
        closeness = tf.reduce_sum(vectors * mean[:, tf.newaxis], 2)
        # One more column, so that a request of no words at all has one to choose.
        closeness = tf.pad(tf.where(there, closeness, 2.0), [[0, 0], [0, 1]], constant_values=3.0)
        odd = tf.gather(tf.pad(words, [[0, 0], [0, 1]]), tf.argmin(closeness, 1), batch_dims=1)
        unknown, any_word = _unknown(network.featurizer, words, ids)
        return {
            "word": tf.where(tf.reduce_any(there, 1), odd, ""),
            "known": any_word & tf.equal(unknown, ""),
            "unknown": unknown,
        }

    return doesnt_match


def embed(network: "Network", raw: RawKind, decode: Decode) -> Any:
    """Make the signature from words [batch] to their vectors [batch, d]; zeros where not ``known``."""

    @graph(strings(raw.input, 1))
    def embed(word: Any) -> dict[str, Any]:
        ids = network.featurizer(word)
        return decode(network.embed(ids)) | {"known": ids < network.featurizer.size}

    return embed


def _neighbours(network: "Network", word: Any, k: Any) -> dict[str, Any]:
    ids = network.featurizer(word)
    is_known = ids < network.featurizer.size
    unit = network.model.get_layer("space").unit(ids)
    return _ranked(network, unit, ids[:, tf.newaxis], k, is_known) | {"known": is_known}


def _unknown(lookup: Any, words: Any, ids: Any) -> tuple[Any, Any]:
    """Name each row's unknown words, joined by blanks, and tell whether it has any word at all."""
    there = tf.not_equal(tf.strings.strip(words), "")
    missed = tf.where(there & tf.equal(ids, lookup.size), tf.strings.join([words, " "]), "")
    return tf.strings.strip(tf.strings.reduce_join(missed, 1)), tf.reduce_any(there, 1)


def _ranked(network: "Network", queries: Any, own: Any, k: Any, is_known: Any) -> dict[str, Any]:
    """Rank all words by their cosine to each query [batch, d], leaving out its own ids [batch, n]."""
    wide = ranking.width(k, network.featurizer.size, "words")
    best, ids = ranking.by_chunks(lambda query, without: _top(network, query, without, wide), queries, own)
    mask = is_known[:, tf.newaxis] & (tf.range(wide) < k[:, tf.newaxis]) & tf.math.is_finite(best)
    return {
        "words": tf.where(mask, network.featurizer.words(ids), ""),
        "similarities": tf.where(mask, best, 0.0),
    }


def _top(network: "Network", queries: Any, own: Any, wide: Any) -> tuple[Any, Any]:
    cosines = network.model.get_layer("space").cosines(queries)
    rows = tf.repeat(tf.range(tf.shape(own)[0])[:, tf.newaxis], tf.shape(own)[1], 1)
    places = tf.boolean_mask(tf.stack([rows, own], 2), own < network.featurizer.size)
    without = tf.fill([tf.shape(places)[0]], float("-inf"))
    best = tf.math.top_k(tf.tensor_scatter_nd_update(cosines, places, without), wide)
    return best.values, best.indices
