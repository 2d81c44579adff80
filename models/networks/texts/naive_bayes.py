"""Naive Bayes over tokens and pairs of neighbouring tokens, as a layer (Wang and Manning 2012).

A linear model that is counted, not trained: it knows what a network with few examples of each word does not.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.networks.texts.sequences import numbers

#: Added to every count (Lidstone).
SMOOTHING = 0.5
#: Largest number of entries, n-grams times classes, of a table.
MOST_ENTRIES = 2**22
_BATCH = 128


def ngrams(ids: Any, unknown: int) -> Any:
    """Number the tokens of texts and the pairs of neighbouring tokens.

    Args:
        ids: int32 [batch, n, ...]; 0 is padding.
        unknown: id of an unknown token, the largest of all.

    Returns:
        int64 [batch, 2 n - 1]: tokens by their ids, pairs by larger numbers; 0 for padding, unknown tokens,
        and pairs with either.
    """
    tokens = tf.cast(numbers(ids), tf.int64)
    tokens = tf.where(tokens < unknown, tokens, 0)
    first, second = tokens[:, :-1], tokens[:, 1:]
    pairs = tf.where((first > 0) & (second > 0), first * unknown + second, 0)
    return tf.concat([tokens, pairs], 1)


def count(
    batches: Iterable[Any], classes: Sequence[int], size: int, unknown: int, most: int
) -> dict[str, list[Any]]:
    """Count in how many places of each class every n-gram stands.

    Args:
        batches: ids of texts, int32 [batch, n, ...].
        classes: number of each text's class, in the same order.
        size: how many classes there are.
        unknown: id of an unknown token.
        most: n-grams to keep, the frequent ones.

    Returns:
        Plain data: ``ngrams`` in ascending order, ``counts`` [ngrams][classes], ``texts`` [classes].
    """
    groups = np.asarray(classes, np.int64)
    parts, done = [], 0
    for ids in batches:
        numbered = ngrams(ids, unknown).numpy()
        rows, columns = numbered.nonzero()
        parts.append(np.stack([numbered[rows, columns], groups[done + rows]]))
        done += len(numbered)
    places = np.concatenate(parts, 1) if parts else np.zeros((2, 0), np.int64)
    distinct, inverse = np.unique(places[0], return_inverse=True)
    counts = np.zeros((len(distinct), size), np.int64)
    np.add.at(counts, (inverse, places[1]), 1)
    limit = min(most, MOST_ENTRIES // size)
    frequent = np.sort(np.argsort(-counts.sum(1), kind="stable")[:limit])
    texts = np.bincount(groups, minlength=size)
    return {
        "ngrams": distinct[frequent].tolist(),
        "counts": counts[frequent].tolist(),
        "texts": texts.tolist(),
    }


def batched(texts: Sequence[bytes], featurizer: Any) -> Iterable[Any]:
    """Yield the ids of texts, a hundred or so at a time."""
    for start in range(0, len(texts), _BATCH):
        yield featurizer(tf.constant(texts[start : start + _BATCH]))


def _centred(values: np.ndarray) -> np.ndarray:
    """Leave the differences between the classes alone: sums over long texts stay small, and exact."""
    return values - values.mean(-1, keepdims=True)


@keras.saving.register_keras_serializable("servable")
class NaiveBayes(keras.Layer):
    """Score texts by multinomial naive Bayes: ids [batch, n, ...] to logits [batch, classes].

    They are the joint log-probabilities without what all classes share. N-grams that were not counted change
    no score. Nothing here is trained.

    Args:
        size: how many n-grams are known.
        classes: how many there are.
        unknown: id of an unknown token.
        counted: as `count` returns it; None leaves the scores at 0. It is not kept in the config: a layer
            made again gets its weights from where it was saved.
    """

    def __init__(
        self,
        size: int,
        classes: int,
        unknown: int,
        counted: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**({"trainable": False, "name": "naive_bayes"} | options))
        self.size, self.classes, self.unknown = size, classes, unknown
        self.ngrams = self.add_weight((size,), "zeros", "int64", trainable=False, name="ngrams")
        self.scores = self.add_weight((size, classes), "zeros", trainable=False, name="scores")
        self.prior = self.add_weight((classes,), "zeros", trainable=False, name="prior")
        if counted is not None:
            self._fit(counted)
        self.built = True

    def _fit(self, counted: Mapping[str, Any]) -> None:
        counts = np.asarray(counted["counts"], np.float64).reshape(self.size, self.classes) + SMOOTHING
        texts = np.asarray(counted["texts"], np.float64)
        self.ngrams.assign(np.asarray(counted["ngrams"], np.int64))
        self.scores.assign(_centred(np.log(counts) - np.log(counts.sum(0))))
        # A class without a text in the training split is the least likely one, but possible.
        self.prior.assign(_centred(np.log(np.maximum(texts, SMOOTHING) / texts.sum())))

    def call(self, ids: Any) -> Any:
        """Add the scores of all n-grams of each text to its class's share."""
        numbered = ngrams(ids, self.unknown)
        places = tf.searchsorted(self.ngrams.value, tf.reshape(numbered, [-1]))
        places = tf.reshape(tf.minimum(places, self.size - 1), tf.shape(numbered))
        counted = tf.cast(tf.equal(tf.gather(self.ngrams.value, places), numbered), tf.float32)
        scores = tf.gather(self.scores.value, places) * counted[..., tf.newaxis]
        return tf.reduce_sum(scores, 1) + self.prior

    def compute_output_spec(self, ids: Any) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor((ids.shape[0], self.classes), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the sizes."""
        own = {"size": self.size, "classes": self.classes, "unknown": self.unknown}
        return super().get_config() | own
