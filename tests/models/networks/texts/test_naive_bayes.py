"""Naive Bayes beside a network: n-grams by plain Python, scores and weights by scikit-learn."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

from models.networks import blend
from models.networks.texts import naive_bayes
from models.networks.texts.naive_bayes import NaiveBayes
from models.tasks.text_classification import TEXT_CLASSIFICATION, fit
from tests.models.networks.texts.test_text_networks import SMALL, blueprint

UNKNOWN = 6
#: Ids of 60 texts of one to eight tokens, 1 to 5 and the unknown one.
IDS = [
    np.random.default_rng(number).integers(1, UNKNOWN + 1, size=1 + number % 8).tolist()
    for number in range(60)
]
CLASSES = np.arange(60) * 7 % 5 // 2


def padded(rows: list[list[int]]) -> np.ndarray:
    return np.array([row + [0] * (9 - len(row)) for row in rows], np.int32)


def known(row: list[int]) -> Counter[str]:
    """Count tokens and pairs that are known, in words."""
    pairs = [f"{a} {b}" for a, b in itertools.pairwise(row) if UNKNOWN not in (a, b)]
    return Counter([str(token) for token in row if token != UNKNOWN] + pairs)


def test_ngrams_are_the_tokens_and_pairs_of_known_ones() -> None:
    found = naive_bayes.ngrams(padded(IDS), UNKNOWN).numpy()
    named = [
        Counter(str(n) if n < UNKNOWN else f"{n // UNKNOWN} {n % UNKNOWN}" for n in row if n) for row in found
    ]
    assert named == [known(row) for row in IDS]
    # Beside the pieces of tokens they are the same.
    spelt = np.stack([padded(IDS), np.full((60, 9), 3, np.int32)], 2)
    np.testing.assert_array_equal(naive_bayes.ngrams(spelt, UNKNOWN), found)


def test_scores_are_those_of_scikit_learn() -> None:
    counted = naive_bayes.count([padded(IDS[:40]), padded(IDS[40:50])], CLASSES[:50], 3, UNKNOWN, 1000)
    layer = NaiveBayes(len(counted["ngrams"]), 3, UNKNOWN, counted)
    names = DictVectorizer()
    oracle = MultinomialNB(alpha=naive_bayes.SMOOTHING)
    oracle.fit(names.fit_transform(map(known, IDS[:50])), CLASSES[:50])
    expected = oracle.predict_joint_log_proba(names.transform(map(known, IDS)))
    expected -= expected.mean(1, keepdims=True)
    np.testing.assert_allclose(layer(padded(IDS)), expected, atol=1e-5)
    assert not layer.trainable_variables
    again = NaiveBayes.from_config(layer.get_config())
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(padded(IDS)), layer(padded(IDS)))


def test_the_frequent_ngrams_are_kept() -> None:
    ids = [padded([[1, 1, 2], [2, 1, 1], [4, UNKNOWN]])]
    counted = naive_bayes.count(ids, [0, 1, 2], 4, UNKNOWN, 3)
    assert counted == {
        "ngrams": [1, 2, 1 * UNKNOWN + 1],
        "counts": [[2, 2, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]],
        "texts": [1, 1, 1, 0],
    }
    nothing = naive_bayes.count(ids, [0, 1, 2], 4, UNKNOWN, 1000)
    # A class without texts is possible still.
    assert np.isfinite(NaiveBayes(len(nothing["ngrams"]), 4, UNKNOWN, nothing)(ids[0])).all()


def test_weights_are_those_of_logistic_regression() -> None:
    random = np.random.default_rng(0)
    targets = random.integers(0, 2, 4000)
    signs = 2.0 * targets[:, np.newaxis] - 1
    scores = signs * [1.0, 0.3] + random.normal(0, [1.0, 2.0], (4000, 2))
    two = [np.stack([-column, column], 1) / 2 for column in scores.T]
    oracle = LogisticRegression(C=1e6, fit_intercept=False).fit(scores, targets)
    np.testing.assert_allclose(blend.choose(*two, targets), oracle.coef_[0], rtol=0.01)
    # What misleads has no say; a few examples do not lead far away from the network by itself.
    assert blend.choose(two[0], -two[1], targets)[1] == 0
    assert np.abs(blend.choose(two[0][:3], two[1][:3], targets[:3]) - [1, 0]).max() < 2
    doubted = [blend.choose(*two, targets, (0.5, 0.5), doubt) for doubt in (1e-3, 1e6)]
    np.testing.assert_allclose(doubted, [oracle.coef_[0], [0.5, 0.5]], rtol=0.01)


@pytest.mark.parametrize("subwords", [0, 50])
def test_the_network_is_trained_alone_and_blended_by_validation(subwords: int) -> None:
    texts = [b"a b c", b"c a", b"b b heard a c a b", b"c c c a b"]
    frame = pd.DataFrame({"split": ["train", "test", "train", "train", "train"], "target": [0, 1, 1, 1, 0]})
    plan = blueprint(SMALL["cnn"] | {"wide": 1000, "dropout": 0.0}, subwords=subwords)
    plan = replace(plan, frame=frame, fitted={})
    plan = replace(plan, fitted=fit(plan, texts))
    assert plan.fitted["naive_bayes"]["texts"] == [2, 2]
    built = TEXT_CLASSIFICATION.build(plan)
    ids = built.featurizer(tf.constant(texts))
    deep, wide = built.phases[0].model(ids, training=True), built.model.get_layer("wide")(ids)
    np.testing.assert_allclose(built.model(ids, training=False), deep, atol=1e-6)
    assert built.calibrate is not None
    built.calibrate([])
    targets = np.int32([0, 1, 1, 0])
    built.calibrate([(ids[:3].numpy(), targets[:3]), (ids[3:].numpy(), targets[3:])])
    shares = blend.choose(deep.numpy(), wide.numpy(), targets)
    assert shares[1] > 0
    np.testing.assert_allclose(
        built.model(ids, training=False), shares[0] * deep + shares[1] * wide, atol=1e-5
    )
