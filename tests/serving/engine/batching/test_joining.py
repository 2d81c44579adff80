"""Batches without settings: who shares a run, who runs alone, and that a lone request waits for nobody."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from serving.engine.batching.joining import QUICK_ROWS, Joiner
from serving.engine.batching.parameters import JOINED_ROWS
from serving.errors import InvalidArgument
from tests.serving.engine.held import Held, ask, floats, while_held


class _Ranking(tf.Module):
    """Answers whose width a count or the input decides, and one whose first axis is not that of the rows."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="x"),
            tf.TensorSpec([None], tf.int32, name="k"),
        ]
    )
    def nearest(self, x, k):
        steps = tf.range(tf.reduce_max(k))
        return {"found": x[:, tf.newaxis] + tf.cast(steps, tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="length")])
    def widest(self, length):
        return {"mask": tf.sequence_mask(length, dtype=tf.int32)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def positive(self, x):
        return {"kept": tf.boolean_mask(x, x > 0)}


@pytest.fixture(scope="module")
def ranking(tmp_path_factory):
    path, module = tmp_path_factory.mktemp("ranking") / "1", _Ranking()
    names = ("nearest", "widest", "positive")
    tf.saved_model.save(module, str(path), signatures={name: getattr(module, name) for name in names})
    return path


@pytest.fixture
def joined(models):
    """Make the Joiner of a test, and the servable in it; both are closed when the test is over."""
    made = []

    def make(path=None, **settings):
        held = Held("zoo", 1, path or models.root / "zoo" / "1")
        made.append(Joiner(held, **settings))
        return made[0], held

    yield make
    made[0].close()
    assert not any(thread.is_alive() for thread in made[0]._threads)


def test_a_lone_request_runs_at_once_in_its_own_thread(joined):
    joiner, held = joined()
    for x in (1, 4, 9):
        assert ask(joiner, "refuse_negative", x=floats(x))["root"].tolist() == [x**0.5]
    assert held.sizes == [1, 1, 1]
    assert (held.threads, joiner._threads) == ({threading.current_thread()}, [])


def test_requests_that_arrive_during_a_run_share_the_next(joined):
    joiner, held = joined(slots=1)
    calls = [("refuse_negative", {"x": floats(n * n, n * n)}) for n in range(5)]
    results = while_held(held, joiner, calls)
    assert [result.result(30)["root"].tolist() for result in results] == [[n, n] for n in range(5)]
    assert held.sizes == [1, JOINED_ROWS, 2]


def test_a_second_run_begins_beside_the_first_only_for_a_full_batch(joined):
    joiner, held = joined(slots=2)
    joiner._seconds_per_row = dict.fromkeys(_keys(joiner, "refuse_negative"), 1.0)
    held.gate.clear()
    with ThreadPoolExecutor(JOINED_ROWS + 1) as pool:
        waiting = [pool.submit(ask, joiner, "refuse_negative", x=floats(n * n)) for n in range(JOINED_ROWS)]
        assert held.entered.acquire(timeout=30)
        while sum(queue.rows for queue in joiner._queues.values()) < JOINED_ROWS - 1:
            assert not held.entered.acquire(blocking=False)
        # The next one makes the batch full.
        waiting.append(pool.submit(ask, joiner, "refuse_negative", x=floats(JOINED_ROWS**2)))
        assert held.entered.acquire(timeout=30)
        held.gate.set()
        assert [one.result(30)["root"].tolist() for one in waiting] == [[n] for n in range(JOINED_ROWS + 1)]
    assert sorted(held.sizes) == [1, JOINED_ROWS]


def test_a_bad_request_fails_alone(joined):
    joiner, held = joined(slots=1)
    good, bad, other = while_held(held, joiner, [("refuse_negative", {"x": floats(x)}) for x in (9, -1, 16)])
    assert (good.result(30)["root"].tolist(), other.result(30)["root"].tolist()) == ([3.0], [4.0])
    with pytest.raises(InvalidArgument, match="x below zero"):
        bad.result(30)
    assert held.sizes == [1, 3, 1, 1, 1]


def test_answers_whose_width_the_longest_row_decides_are_not_joined(joined, ranking):
    joiner, held = joined(ranking)
    calls = [("widest", {"length": np.array([n], np.int32)}) for n in (1, 3)]
    held.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        short, long = [pool.submit(ask, joiner, name, **inputs) for name, inputs in calls]
        assert all(held.entered.acquire(timeout=30) for _ in calls)
        held.gate.set()
        assert (short.result(30)["mask"].tolist(), long.result(30)["mask"].tolist()) == ([[1]], [[1, 1, 1]])


def test_requests_that_run_alone_are_bounded_too(joined, ranking):
    joiner, held = joined(ranking, alone=1)
    held.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(ask, joiner, "widest", length=np.array([n], np.int32)) for n in (1, 2)]
        assert held.entered.acquire(timeout=30)
        assert not held.entered.acquire(timeout=0.1)
        held.gate.set()
        assert [one.result(30)["mask"].tolist() for one in both] == [[[1]], [[1, 1]]]


def test_requests_of_one_count_are_joined_and_others_are_not(joined, ranking):
    joiner, held = joined(ranking, slots=1)
    counts = (2, 3, 2, 3, 2)
    calls = [("nearest", {"x": floats(n), "k": np.array([k], np.int32)}) for n, k in enumerate(counts)]
    first = ("nearest", {"x": floats(9), "k": np.array([1], np.int32)})
    results = while_held(held, joiner, calls, first)
    assert [result.result(30)["found"].tolist() for result in results] == [
        [[float(n + step) for step in range(k)]] for n, k in enumerate(counts)
    ]
    assert sorted(held.sizes) == [1, 2, 3]


def test_an_output_without_the_axis_of_the_rows_is_answered_and_not_joined_again(joined, ranking):
    joiner, held = joined(ranking, slots=1)
    calls = [("positive", {"x": floats(*row)}) for row in ((1, -1), (2, 3), (-1, -2))]
    results = while_held(held, joiner, calls, ("positive", {"x": floats(5, -5)}))
    assert [result.result(30)["kept"].tolist() for result in results] == [[1.0], [2.0, 3.0], []]
    assert held.sizes == [2, 6, 2, 2, 2]
    # From now on it runs at once, whoever else does.
    held.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        again = [pool.submit(ask, joiner, name, **inputs) for name, inputs in calls[:2]]
        assert all(held.entered.acquire(timeout=30) for _ in range(len(held.sizes) - 1 + len(again)))
        held.gate.set()
        assert [one.result(30)["kept"].tolist() for one in again] == [[1.0], [2.0, 3.0]]


def test_what_batching_refuses_is_answered_as_without_it(joined):
    joiner, _ = joined()
    assert ask(joiner, "no_batch", x=floats(1, 2))["total"] == 3.0
    assert ask(joiner, "any_rank", x=np.float32(1))["rank"] == 0
    assert ask(joiner, "refuse_negative", x=floats())["root"].shape == (0,)
    assert ask(joiner, "refuse_negative", x=np.ones(2000, np.float32))["root"].tolist() == [1.0] * 2000
    unequal = {"a": np.ones((2, 2), np.float32), "b": np.ones(1, np.int64), "c": np.array([b"x"], object)}
    assert ask(joiner, "serving_default", **unequal)["sum"].tolist() == [2.0, 2.0]
    with pytest.raises(InvalidArgument, match="Expects arg"):
        ask(joiner, "refuse_negative", x=np.ones(1, np.int64))


def test_quick_models_join_more_rows(joined):
    joiner, _ = joined()
    (key,) = _keys(joiner, "refuse_negative")
    rooms = []
    for seconds in (1.0, 0.001, 0.0005, 0.00001):
        joiner._seconds_per_row[key] = seconds
        rooms.append(joiner._room((*key, "kinds")))
    assert rooms == [JOINED_ROWS, 10, 20, QUICK_ROWS]


def _keys(joiner, signature):
    found = joiner.signatures[signature]
    return [
        (tuple(info.name for info in found.inputs.values()), tuple(i.name for i in found.outputs.values()))
    ]


def test_many_callers_of_many_shapes_all_get_their_own(joined):
    joiner, _ = joined()
    rng = np.random.default_rng(0)
    shapes = [(int(rows), int(width)) for rows, width in rng.integers(1, (9, 4), (300, 2))]

    def call(number):
        x = np.full(shapes[number], number, np.float32)
        return ask(joiner, "ragged", x=x)["total"].tolist()

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(call, range(300)))
    assert found == [[float(n * shapes[n][1])] * shapes[n][0] for n in range(300)]
    assert (joiner._queues, joiner._busy) == ({}, 0)
