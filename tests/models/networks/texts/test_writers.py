"""Networks that write: step by step as in training, alone as in a batch, whatever the padding."""

from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.texts.pieces import BEGIN, END, FIRST, PADDING
from models.networks.texts.beam_search import Search
from models.networks.texts.recurrent_writer import RecurrentWriter
from models.networks.texts.transformer import Transformer
from models.networks.texts.translation import cross_entropy, hits
from models.networks.texts.writer import MeanReading, shifted

SIZE = FIRST + 20
SOURCES = [[300 % SIZE, 262, 263, END], [270, END], [261, 262, 263, 264, 265, 266, END]]


def padded(rows, length=None):
    length = length or max(map(len, rows))
    return tf.constant([row + [PADDING] * (length - len(row)) for row in rows], tf.int32)


@pytest.fixture(scope="module", params=["transformer", "gru", "deep gru"])
def writer(request):
    keras.utils.set_random_seed(3)
    if request.param == "transformer":
        made = Transformer(SIZE, 16, 2, 24, 2, 2, 0.3)
    else:
        layers = 2 if request.param == "deep gru" else 1
        made = RecurrentWriter(SIZE, 16, layers, layers, 0.3)
    # Larger weights than those of a beginning: answers that differ from each other.
    for variable in made.trainable_variables:
        variable.assign(variable * 2.0)
    return made


@pytest.fixture(scope="module")
def written(writer):
    """Return what writes targets, with one graph per width of the beam."""

    @cache
    def graph(beams):
        search = Search(BEGIN, END, beams, 0.6, PADDING)
        return tf.function(
            lambda ids: writer.write(ids, search, tf.fill([tf.shape(ids)[0]], 12)),
            input_signature=[tf.TensorSpec([None, None], tf.int32)],
            autograph=False,
        )

    def write(sources, beams, length=None):
        symbols, scores = graph(beams)(padded(sources, length))
        return [[int(one) for one in row if one] for row in symbols.numpy()], scores.numpy()

    return write


@pytest.mark.parametrize("beams", [1, 4])
def test_what_is_written_step_by_step_has_the_probability_that_training_gives_it(writer, written, beams):
    paths, scores = written(SOURCES, beams)
    targets = padded(paths)
    logits = writer(padded(SOURCES), shifted(targets))
    # Nothing before END is ever written.
    logits += tf.constant([0.0] * SIZE)
    chosen = tf.gather(tf.nn.log_softmax(logits), targets, batch_dims=2).numpy() * (targets.numpy() != 0)
    lengths = np.array([len(path) for path in paths])
    np.testing.assert_allclose(scores, chosen.sum(1) / ((5 + lengths) / 6) ** 0.6, rtol=1e-4, atol=1e-4)
    if beams == 1:
        allowed = logits.numpy()
        allowed[..., :END] = -np.inf
        for row, path in enumerate(paths):
            best = [int(one) for one in allowed[row, : len(path)].argmax(-1)]
            assert path[:-1] == best[:-1]


@pytest.mark.parametrize("beams", [pytest.param(1, marks=pytest.mark.proof), 4])
def test_an_answer_depends_on_its_own_source_alone(written, beams):
    together, scores = written(SOURCES, beams)
    longer, others = written(SOURCES, beams, length=19)
    assert longer == together
    np.testing.assert_allclose(others, scores, atol=1e-5)
    for place, source in enumerate(SOURCES):
        alone, own = written([source], beams)
        assert alone == [together[place]]
        np.testing.assert_allclose(own, scores[place : place + 1], atol=1e-5)


def test_no_answer_scores_below_the_greedy_one(written):
    random = np.random.default_rng(0)
    sources = [[*random.integers(FIRST, SIZE, 5).tolist(), END] for _ in range(40)]
    assert (written(sources, 4)[1] >= written(sources, 1)[1] - 1e-5).all()


def test_no_place_sees_what_comes_after_it(writer):
    source = padded(SOURCES)
    one = writer(source, padded([[BEGIN, 270, 271, 272]] * 3)).numpy()
    other = writer(source, padded([[BEGIN, 270, 265, 266]] * 3)).numpy()
    np.testing.assert_allclose(one[:, :2], other[:, :2], atol=1e-5)
    assert np.abs(one[:, 2:] - other[:, 2:]).max() > 1e-3


def test_attention_adds_up_to_one_over_what_is_there(writer):
    states, weights = writer.states(padded(SOURCES), padded([[BEGIN, 270]] * 3), weights=True)
    assert states.shape == (3, 2, 16)
    np.testing.assert_allclose(tf.reduce_sum(weights, -1), 1.0, atol=1e-5)
    there = padded(SOURCES).numpy() != PADDING
    assert np.abs(weights.numpy() * ~there[:, None]).max() == 0


def test_dropout_acts_in_training_alone(writer):
    source, previous = padded(SOURCES), padded([[BEGIN, 270]] * 3)
    np.testing.assert_array_equal(writer(source, previous), writer(source, previous))
    assert np.abs(writer(source, previous, training=True) - writer(source, previous)).max() > 1e-3


def test_a_reading_leaves_the_padding_out(writer):
    mean = MeanReading(writer)
    np.testing.assert_allclose(mean(padded(SOURCES)), mean(padded(SOURCES, 15)), atol=1e-5)


def test_a_network_is_made_again_from_its_configuration(writer):
    again = type(writer).from_config(writer.get_config())
    shapes = [tuple(variable.shape) for variable in writer.variables]
    assert [tuple(variable.shape) for variable in again.variables] == shapes


def test_the_loss_is_that_of_keras_over_what_is_there():
    random = np.random.default_rng(0)
    logits = tf.constant(random.normal(size=(2, 3, 7)), tf.float32)
    targets = tf.constant([[4, 5, 2], [6, 2, 0]])
    for smoothing in (0.0, 0.1):
        loss = cross_entropy(smoothing)(targets, logits)
        wanted = keras.losses.categorical_crossentropy(
            tf.one_hot(targets, 7), logits, from_logits=True, label_smoothing=smoothing
        ).numpy() * (targets.numpy() != 0)
        np.testing.assert_allclose(np.mean(loss), wanted.sum() / 5, rtol=1e-5)
    right = tf.one_hot(tf.constant([[4, 5, 3], [6, 2, 0]]), 7)
    np.testing.assert_allclose(np.mean(hits(targets, right)), 4 / 5, rtol=1e-6)
