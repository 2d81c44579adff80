"""What each token of a text does to the answer: leave it out and look (Li, Monroe and Jurafsky 2016)."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from features.spec import RawKind

if TYPE_CHECKING:
    from models.network import Network


def changes(network: "Network", ids: Any, logits: Any, label: Any) -> Any:
    """Measure what leaving out each token of one text takes from a class's probability.

    Args:
        network: from ids to logits.
        ids: int32 [n, ...] of one text, without padding.
        logits: float32 [classes], what the network says of the whole text.
        label: number of the class, int [].

    Returns:
        float32 [n]: probability with the token minus probability without it. A text of one token is
        compared with what stands for a text without any.
    """
    count = tf.shape(ids)[0]
    places = tf.range(tf.maximum(count - 1, 1))[tf.newaxis]
    indices = places + tf.cast(places >= tf.range(count)[:, tf.newaxis], tf.int32)
    others = tf.gather(ids, tf.minimum(indices, count - 1))
    without = tf.where(count > 1, others, network.featurizer.nothing)
    whole = tf.nn.softmax(logits)[label]
    return whole - tf.nn.softmax(network.model(without, training=False))[:, label]


def explain(network: "Network", raw: RawKind, decode: Callable[[Any], dict[str, Any]]) -> Any:
    """Make the signature from texts [batch] to what each token did for the label.

    Outputs: ``tokens`` string [batch, n] and ``change`` float32 [batch, n], "" and 0 beyond a text's end;
    ``label`` and ``score`` [batch] as ``serving_default`` answers.
    """

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.as_dtype(raw.dtype), name=raw.input)], autograph=False
    )
    def explain(texts: Any) -> dict[str, Any]:
        featurizer = network.featurizer
        tokens = featurizer.cut(featurizer.tokens(texts))
        ids = featurizer.ids(tokens)
        logits = network.model(ids, training=False)
        decoded = decode(logits)
        counts = tf.maximum(tf.cast(tokens.row_lengths(), tf.int32), 1)
        width = tf.shape(ids)[1]

        def one(row: tuple[Any, Any, Any, Any]) -> Any:
            token_changes = changes(network, row[0][: row[1]], row[2], row[3])
            return tf.pad(token_changes, [[0, width - row[1]]])

        best = tf.argmax(logits, -1, output_type=tf.int32)
        # One text after the other: the longest text, not their number, decides the memory.
        change = tf.map_fn(
            one, (ids, counts, logits, best), fn_output_signature=tf.TensorSpec([None], tf.float32)
        )
        return {
            "tokens": tokens.to_tensor("", shape=(None, None)),
            "change": tf.reshape(change, tf.shape(ids)[:2])[
                :, : tf.cast(tokens.bounding_shape()[1], tf.int32)
            ],
            "label": decoded["label"],
            "score": decoded["score"],
        }

    return explain


def explained(network: "Network", raws: Sequence[bytes]) -> list[tuple[list[str], np.ndarray]]:
    """Explain texts with the training graph: of each its tokens, and the change each makes."""
    featurizer = network.featurizer
    results = []

    @tf.function(input_signature=[tf.TensorSpec(featurizer.spec.shape, tf.int32)], autograph=False)
    def step(ids: Any) -> Any:
        logits = network.model(ids[tf.newaxis], training=False)[0]
        return changes(network, ids, logits, tf.argmax(logits, output_type=tf.int32))

    for raw in raws:
        tokens = featurizer.cut(featurizer.tokens(tf.constant([raw])))
        ids = featurizer.ids(tokens)
        token_texts = [token.decode() for token in tokens.flat_values.numpy()]
        results.append((token_texts, step(ids[0]).numpy()[: len(token_texts)]))
    return results
