"""The CTC loss and the metric of an epoch against sums over all paths."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from models.networks.sounds import ctc

LABELS = 2


def logits(lengths: list[int], frames: int = 5) -> np.ndarray:
    values = np.random.default_rng(4).normal(0, 2, (len(lengths), frames, LABELS + 1)).astype(np.float32)
    for place, length in enumerate(lengths):
        values[place, length:] = np.nan
    return values


def sums(values: np.ndarray) -> dict[tuple[int, ...], float]:
    """Add up the probabilities of all paths [frames, labels + 1] that say the same."""
    values = values[~np.isnan(values[:, 0])]
    scores = values - np.log(np.exp(values).sum(1, keepdims=True))
    total: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(LABELS + 1), repeat=len(scores)):
        said = tuple(label for label, _ in itertools.groupby(path) if label != LABELS)
        one = float(sum(scores[frame, label] for frame, label in enumerate(path)))
        total[said] = np.logaddexp(total.get(said, -np.inf), one)
    return total


@pytest.mark.parametrize("said", [(), (0,), (1, 1), (0, 1), (0, 1, 0)])
def test_likelihoods_are_sums_over_paths(said: tuple[int, ...]) -> None:
    values = logits([5, 5, 5])
    labels = np.array([[*said, *([-1] * (4 - len(said)))]] * 3, np.int32)
    loss = ctc.negative_log_likelihood(tf.constant(labels), tf.constant(values)).numpy()
    np.testing.assert_allclose(-loss, [sums(each)[said] for each in values], rtol=1e-5)
    np.testing.assert_allclose(ctc.per_label(labels, values), loss / max(1, len(said)), rtol=1e-5)


def test_frames_that_are_not_there_count_for_nothing() -> None:
    values = logits([3, 5])
    labels = np.array([[0, 1], [1, -1]], np.int32)
    found = ctc.negative_log_likelihood(tf.constant(labels), tf.constant(values)).numpy()
    np.testing.assert_allclose(-found, [sums(values[0])[0, 1], sums(values[1])[1,]], rtol=1e-5)
    with tf.GradientTape() as tape:
        variable = tf.constant(values)
        tape.watch(variable)
        total = tf.reduce_sum(ctc.negative_log_likelihood(tf.constant(labels), variable))
    gradient = tape.gradient(total, variable).numpy()
    assert np.isfinite(gradient).all()
    assert not gradient[0, 3:].any()


def test_the_likeliest_frames_are_read_without_blanks_and_repeats() -> None:
    path = [[0, 0, 2, 0, 1], [2, 1, 1, 2, 2], [2, 2, 2, 2, 2]]
    values = np.eye(3, dtype=np.float32)[path] * 5
    values[1, 3:] = np.nan
    assert ctc.greedy(tf.constant(values)).numpy().tolist() == [
        [0, 0, 1, -1, -1],
        [1, -1, -1, -1, -1],
        [-1, -1, -1, -1, -1],
    ]
    targets = tf.constant([[0, 1, -1], [0, 1, 0], [1, -1, -1]])
    np.testing.assert_allclose(ctc.error_rate(targets, tf.constant(values)), [1 / 2, 2 / 3, 1.0])
