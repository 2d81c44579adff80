"""The search on hand-made scores, whose best path is known."""

import itertools
from functools import cache

import numpy as np
import pytest
import tensorflow as tf

from models.networks.texts.beam_search import Search, score

PAD, BEGIN, END, A, B = range(5)
SIZE = 5


def scores_of(table: dict[int, dict[int, float]]) -> np.ndarray:
    """Lay out the logarithms of what follows each symbol: float32 [symbols, symbols]."""
    rows = np.full((SIZE, SIZE), -1e9, np.float32)
    for last, following in table.items():
        for symbol, probability in following.items():
            rows[last, symbol] = np.log(probability)
    return rows


def markov(table: dict[int, dict[int, float]]):
    """Make a step whose next symbol depends on the last one alone; it keeps the path of each hypothesis."""
    rows = scores_of(table)

    def step(known, last, place):
        path = tf.concat([known, last[:, tf.newaxis, tf.newaxis]], 1)
        return tf.gather(tf.constant(rows), last), path

    return step


def searched(step, search: Search, limits: list[int]) -> tuple[list[list[int]], np.ndarray]:
    @tf.function(autograph=False)
    def run(limits):
        return search.run(step, tf.zeros([tf.shape(limits)[0], 0, 1], tf.int32), limits)

    symbols, scores = run(tf.constant(limits))
    return [[int(one) for one in row if one != PAD] for row in symbols.numpy()], scores.numpy()


def best(rows: np.ndarray, limit: int, penalty: float) -> tuple[list[int], float]:
    """Try every sequence."""
    found: tuple[list[int], float] = ([], -np.inf)
    for length in range(1, limit + 1):
        for inner in itertools.product((A, B), repeat=length - 1):
            path = [BEGIN, *inner, END]
            total = sum(rows[one, other] for one, other in itertools.pairwise(path))
            value = total / ((5 + length) / 6) ** penalty
            if value > found[1]:
                found = (path[1:], value)
    return found


#: Greedily A comes first, but what follows it is improbable.
TRAP = {BEGIN: {A: 0.6, B: 0.4}, A: {A: 0.35, B: 0.35, END: 0.3}, B: {END: 0.9, A: 0.1}}


def test_the_greedy_search_takes_the_likeliest_symbol_each_time():
    step = markov({BEGIN: {A: 0.6, B: 0.4}, A: {B: 0.7, END: 0.3}, B: {END: 0.9, A: 0.1}})
    paths, scores = searched(step, Search(BEGIN, END, 1, 0.0), [9])
    assert paths == [[A, B, END]]
    np.testing.assert_allclose(scores, np.log(0.6 * 0.7 * 0.9), rtol=1e-5)


def test_the_beam_finds_the_path_that_greed_misses():
    step = markov(TRAP)
    greedy, low = searched(step, Search(BEGIN, END, 1, 0.0), [4])
    paths, scores = searched(step, Search(BEGIN, END, 2, 0.0), [4])
    assert greedy[0][0] == A
    assert paths == [[B, END]]
    np.testing.assert_allclose(scores, np.log(0.4 * 0.9), rtol=1e-5)
    assert scores[0] > low[0]


@tf.function(
    input_signature=(tf.TensorSpec([SIZE, SIZE]), tf.TensorSpec([]), tf.TensorSpec([1], tf.int32)),
    autograph=False,
)
def widely(rows, penalty, limits):
    """Search with 40 beams among scores of pairs, [symbols, symbols]; one graph for all of them."""

    def step(known, last, place):
        return tf.gather(rows, last), tf.concat([known, last[:, tf.newaxis, tf.newaxis]], 1)

    return Search(BEGIN, END, 40, penalty).run(step, tf.zeros([1, 0, 1], tf.int32), limits)


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 3.0])
@pytest.mark.parametrize("limit", [1, 2, 3, 6])
def test_a_wide_beam_finds_the_best_of_all_sequences(penalty, limit):
    random = np.random.default_rng(limit)
    for _ in range(5):
        table = {
            last: dict(zip((A, B, END), random.dirichlet((1, 1, 1)), strict=True)) for last in (BEGIN, A, B)
        }
        rows = scores_of(table)
        symbols, scores = widely(rows, penalty, tf.constant([limit]))
        wanted, value = best(rows, limit, penalty)
        assert [int(one) for one in symbols[0] if one != PAD] == wanted
        np.testing.assert_allclose(scores, value, rtol=1e-4)


def test_a_higher_penalty_prefers_longer_sequences():
    step = markov({BEGIN: {A: 0.5, END: 0.5}, A: {A: 0.9, END: 0.1}})
    (short,), _ = searched(step, Search(BEGIN, END, 4, 0.0), [8])
    (long,), _ = searched(step, Search(BEGIN, END, 4, 4.0), [8])
    assert short == [END]
    assert len(long) == 8


def test_limits_are_those_of_each_example():
    step = markov({BEGIN: {A: 0.99, END: 0.01}, A: {A: 0.99, END: 0.01}})
    for beams in (1, 3):
        paths, _ = searched(step, Search(BEGIN, END, beams, 2.0), [1, 3, 7])
        assert paths[1:] == [[A, A, END], [A] * 6 + [END]]
        assert paths[0] == [END]


@pytest.fixture(scope="module")
def drawn():
    """Searches among random scores that depend on example, place and last symbol, one graph per width."""
    random = np.random.default_rng(0)
    rows = np.log(random.dirichlet(np.full(SIZE, 0.3), (64, 12, SIZE))).astype(np.float32)
    rows[..., :END] = -1e9

    def step(known, last, place):
        return tf.gather_nd(tf.gather(tf.constant(rows), place, axis=1), tf.stack([known, last], 1)), known

    @cache
    def searched_with(beams):
        search = Search(BEGIN, END, beams, 0.6)
        graph = tf.function(
            lambda known: search.run(step, known, 4 + known % 8),
            input_signature=[tf.TensorSpec([None], tf.int32)],
            autograph=False,
        )

        def run(which):
            symbols, scores = graph(tf.constant(which))
            return [[int(one) for one in row if one] for row in symbols.numpy()], scores.numpy()

        return run, search

    return searched_with, step


@pytest.mark.parametrize("beams", [1, 2, 3, 5])
def test_no_answer_is_less_probable_than_the_greedy_one_or_depends_on_the_batch(drawn, beams):
    searched_with, step = drawn
    run, search = searched_with(beams)
    together, scores = run(list(range(64)))
    _, greedy = searched_with(1)[0](list(range(64)))
    assert (scores >= greedy - 1e-6).all()
    for place in (0, 7, 31):
        alone, own = run([place])
        assert alone == [together[place]]
        np.testing.assert_allclose(own, scores[place : place + 1], rtol=1e-6)
    longest = max(map(len, together))
    padded = np.array([path + [PAD] * (longest - len(path)) for path in together], np.int32)
    counted = score(step, tf.range(64), tf.constant(padded), search)
    np.testing.assert_allclose(counted, scores, rtol=1e-4)


def test_each_hypothesis_keeps_what_is_known_of_its_own_path():
    """Every symbol is as probable as it says, but a path that holds A may end with B alone."""
    rows = np.log(np.array([1e-30, 1e-30, 0.2, 0.45, 0.35], np.float32))

    def step(known, last, place):
        path = tf.concat([known, last[:, tf.newaxis, tf.newaxis]], 1)
        seen = tf.reduce_any(tf.equal(path, A), [1, 2])[:, tf.newaxis]
        after = tf.constant([[-1e9, -1e9, -1e9, -1e9, 0.0]])
        ended = tf.constant([[-1e9, -1e9, 0.0, -1e9, -1e9]])
        following = tf.where(tf.equal(last, B)[:, tf.newaxis], ended, after)
        return tf.where(seen, following, tf.constant(rows)[tf.newaxis]), path

    paths, scores = searched(step, Search(BEGIN, END, 4, 0.0), [5])
    assert paths == [[A, B, END]]
    np.testing.assert_allclose(scores, np.log(0.45), rtol=1e-5)
