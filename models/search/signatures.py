"""The signatures of a gallery: what lies near an image, its cluster, what an item looks like."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from features.spec import RawKind
from models.search import ranking
from models.search.ranking import graph, strings

if TYPE_CHECKING:
    from models.network import Network

Decode = Callable[[Any], dict[str, Any]]


def usual_search(network: "Network", raw: RawKind, decode: Decode) -> Any:
    """Make ``serving_default``: raw examples [batch] to the ten nearest items of each.

    Outputs, all [batch, 10], or as many columns as there are items: ``ids`` and ``paths`` string, ``scores``
    float32, the cosines, the nearest first.
    """

    @graph(strings(raw.input, 1))
    def serving_default(examples: Any) -> dict[str, Any]:
        most = min(ranking.USUAL, network.model.get_layer("index").items)
        return _found(network, _vectors(network, examples), tf.fill(tf.shape(examples), most))

    return serving_default


def search(network: "Network", raw: RawKind, decode: Decode) -> Any:
    """Make the signature from raw examples [batch] and ``k`` int32 [batch] to the k nearest items of each.

    Outputs as of `usual_search`, as wide as the largest k; "" and 0 beyond a row's own k.
    """

    @graph(strings(raw.input, 1), tf.TensorSpec([None], tf.int32, name="k"))
    def search(examples: Any, k: Any) -> dict[str, Any]:
        return _found(network, _vectors(network, examples), k)

    return search


def cluster(network: "Network", raw: RawKind, decode: Decode) -> Any:
    """Make the signature from raw examples [batch] to the cluster of each, and the items nearest to it.

    Outputs: ``cluster`` int32 [batch]; ``distance`` float32 [batch], of the vector of length 1 to the
    cluster's centre; ``ids``, ``paths`` and ``scores`` as of `usual_search`.
    """

    @graph(strings(raw.input, 1))
    def cluster(examples: Any) -> dict[str, Any]:
        vectors = _vectors(network, examples)
        distance, own = network.model.get_layer("clusters").nearest(vectors)
        most = min(ranking.USUAL, network.model.get_layer("index").items)
        neighbours = _found(network, vectors, tf.fill(tf.shape(examples), most))
        return {"cluster": own, "distance": distance} | neighbours

    return cluster


def thumbnail(network: "Network", raw: RawKind, decode: Decode) -> Any:
    """Make the signature from ids string [batch] to small JPEG files [batch]; "" for an unknown id."""

    @graph(strings("id", 1))
    def thumbnail(ids: Any) -> dict[str, Any]:
        return {"thumbnail_bytes": network.model.get_layer("index").pictures(ids)}

    return thumbnail


def _vectors(network: "Network", examples: Any) -> Any:
    return network.embed(network.featurizer(examples), training=False)


def _found(network: "Network", vectors: Any, k: Any) -> dict[str, Any]:
    gallery = network.model.get_layer("index")
    wide = ranking.width(k, gallery.items, "neighbours")
    scores, rows = gallery.nearest(vectors, wide)
    mask = tf.range(wide) < k[:, tf.newaxis]
    return {
        "ids": tf.where(mask, tf.gather(gallery.ids, rows), ""),
        "paths": tf.where(mask, tf.gather(gallery.paths, rows), ""),
        "scores": tf.where(mask, scores, 0.0),
    }
