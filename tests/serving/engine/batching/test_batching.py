"""Batching: who shares a run of the model, what is padded, and that a bad request spoils no other."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from serving.client.client import Client
from serving.config import Options
from serving.engine.batching.batch import filled_size, merge, padded, parts
from serving.engine.batching.batcher import Batcher
from serving.engine.batching.parameters import JOINED_ROWS, Parameters, parameters_for
from serving.errors import FailedPrecondition, InvalidArgument, Unavailable
from serving.server.server import Server, _threads_of_a_run
from tests.serving.conftest import config_text
from tests.serving.engine.held import Held, ask, floats, while_held


@pytest.fixture
def held(models):
    return Held("zoo", 1, models.root / "zoo" / "1")


@pytest.fixture
def batched(held):
    """Make the Batcher of a test; it is closed, and the servable with it, when the test is over."""
    made = []

    def make(parameters):
        made.append(Batcher(held, parameters))
        return made[0]

    yield make
    made[0].close()
    assert not any(thread.is_alive() for thread in made[0]._threads)


def test_requests_that_wait_share_one_run_and_get_their_own_rows(batched, held):
    batcher = batched(Parameters(num_batch_threads=1))
    calls = [("refuse_negative", {"x": floats(n * n, n * n)}) for n in range(5)]
    results = while_held(held, batcher, calls)
    assert [result.result(30)["root"].tolist() for result in results] == [[n, n] for n in range(5)]
    assert held.sizes == [1, 10]


def test_requests_join_up_to_a_number_of_rows_and_a_larger_one_runs_whole(batched, held):
    batcher = batched(Parameters(num_batch_threads=1, joined_rows=4))
    calls = [("refuse_negative", {"x": floats(*[9] * rows)}) for rows in (3, 1, 2, 7, 1)]
    results = while_held(held, batcher, calls)
    assert [result.result(30)["root"].tolist() for result in results] == [[3] * n for n in (3, 1, 2, 7, 1)]
    assert held.sizes == [1, 4, 2, 7, 1]


def test_a_bad_request_fails_alone_s16(batched, held):
    batcher = batched(Parameters(num_batch_threads=1))
    calls = [("refuse_negative", {"x": floats(x)}) for x in (9, -1, 16)]
    good, bad, other = while_held(held, batcher, calls)
    assert good.result(30)["root"].tolist() == [3.0]
    assert other.result(30)["root"].tolist() == [4.0]
    with pytest.raises(InvalidArgument, match="x below zero"):
        bad.result(30)


def test_shapes_that_differ_form_batches_of_their_own(batched, held):
    batcher = batched(Parameters(num_batch_threads=1))
    calls = [("ragged", {"x": np.ones((1, width), np.float32)}) for width in (2, 3, 2)]
    results = while_held(held, batcher, calls)
    assert [result.result(30)["total"].tolist() for result in results] == [[2.0], [3.0], [2.0]]
    assert sorted(held.sizes) == [1, 1, 2]


def test_padding_joins_shapes_with_the_first_value(batched, held):
    batcher = batched(Parameters(num_batch_threads=1, pad_variable_length_inputs=True))
    calls = [("ragged", {"x": np.full((1, width), 5, np.float32)}) for width in (2, 3)]
    results = while_held(held, batcher, calls)
    # The narrow row is padded to width 3 with its own 5.
    assert [result.result(30)["total"].tolist() for result in results] == [[15.0], [15.0]]
    assert [result.result(30)["width"].tolist() for result in results] == [[3], [3]]
    assert held.sizes == [1, 2]


def test_allowed_sizes_fill_a_batch_up(batched, held):
    batcher = batched(Parameters(max_batch_size=4, allowed_batch_sizes=(2, 4)))
    assert ask(batcher, "refuse_negative", x=floats(1, 4, 9))["root"].tolist() == [1.0, 2.0, 3.0]
    assert ask(batcher, "refuse_negative", x=floats(25))["root"].tolist() == [5.0]
    assert held.sizes == [4, 2]


def test_large_requests_are_refused_or_cut(batched, held):
    cutting = batched(Parameters(max_batch_size=8, max_execution_batch_size=3))
    with pytest.raises(InvalidArgument, match="Task size 9 is larger than maximum input batch size 8"):
        ask(cutting, "refuse_negative", x=np.ones(9, np.float32))
    squares = np.arange(8, dtype=np.float32) ** 2
    assert ask(cutting, "refuse_negative", x=squares)["root"].tolist() == list(range(8))
    assert held.sizes == [3, 3, 2]


def test_a_full_queue_refuses_at_once(batched, held):
    parameters = Parameters(max_batch_size=2, max_enqueued_batches=1, num_batch_threads=1)
    calls = [("refuse_negative", {"x": floats(1)}) for _ in range(3)]
    results = while_held(held, batched(parameters), calls)
    assert [result.exception(30) is None for result in results] == [True, True, False]
    with pytest.raises(Unavailable, match="queue to which this task was submitted is full"):
        results[2].result()


def test_a_free_slot_waits_for_company_until_the_batch_is_full(batched, held):
    parameters = Parameters(max_batch_size=3, batch_timeout=60.0, num_batch_threads=1)
    batcher = batched(parameters)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda x: ask(batcher, "refuse_negative", x=floats(x)), (1, 4, 9)))
    assert [answer["root"].tolist() for answer in found] == [[1.0], [2.0], [3.0]]
    assert held.sizes == [3]


def test_a_full_batch_runs_while_another_waits_for_company(batched, held):
    batcher = batched(Parameters(max_batch_size=2, batch_timeout=60.0, num_batch_threads=1))
    with ThreadPoolExecutor(4) as pool:
        lone = pool.submit(ask, batcher, "ragged", x=np.ones((1, 3), np.float32))
        while not batcher._queues:
            assert not lone.done()
        pair = [pool.submit(ask, batcher, "ragged", x=np.ones((1, 2), np.float32)) for _ in range(2)]
        assert [answer.result(30)["total"].tolist() for answer in pair] == [[2.0], [2.0]]
        assert not lone.done()
        last = ask(batcher, "ragged", x=np.zeros((1, 3), np.float32))
        assert (lone.result(30)["total"].tolist(), last["total"].tolist()) == ([3.0], [0.0])
    assert held.sizes == [2, 2]


def test_a_run_that_waits_its_time_goes_alone(batched, held):
    batcher = batched(Parameters(max_batch_size=2, batch_timeout=0.02, num_batch_threads=2))
    assert ask(batcher, "refuse_negative", x=floats(4))["root"].tolist() == [2.0]
    assert held.sizes == [1]


def test_batches_run_in_threads_of_their_own(batched, held):
    batcher = batched(Parameters(num_batch_threads=2))
    assert batcher._threads == []
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda x: ask(batcher, "refuse_negative", x=floats(x)), range(40)))
    assert held.threads <= set(batcher._threads)


def test_inputs_and_outputs_need_the_batch_axis(batched):
    batcher = batched(Parameters())
    with pytest.raises(FailedPrecondition, match="Batched output tensor has 0 dimensions"):
        ask(batcher, "no_batch", x=floats(1, 2))
    with pytest.raises(InvalidArgument, match="must have at least one dimension"):
        ask(batcher, "any_rank", x=np.float32(1))
    with pytest.raises(InvalidArgument, match="equal 0th-dimension size"):
        ask(
            batcher,
            "serving_default",
            a=np.ones((2, 2), np.float32),
            b=np.ones(1, np.int64),
            c=np.array([b"x"], object),
        )
    assert ask(batcher, "refuse_negative", x=floats())["root"].shape == (0,)


def test_many_callers_of_many_shapes_all_get_their_own(batched):
    parameters = Parameters(
        max_batch_size=8, max_execution_batch_size=4, num_batch_threads=2, max_enqueued_batches=100
    )
    batcher = batched(parameters)
    rng = np.random.default_rng(0)
    shapes = [(int(rows), int(width)) for rows, width in rng.integers(1, (9, 4), (300, 2))]

    def call(number):
        x = np.full(shapes[number], number, np.float32)
        return ask(batcher, "ragged", x=x)["total"].tolist()

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(call, range(300)))
    assert found == [[float(n * shapes[n][1])] * shapes[n][0] for n in range(300)]
    assert batcher._queues == {}


def test_the_parts_of_the_arithmetic():
    assert [filled_size(size, (2, 4)) for size in (1, 2, 3, 4, 9)] == [2, 2, 4, 4, 9]
    assert [size for _, size in parts([np.arange(7)], 7, 3)] == [3, 3, 1]
    joined = merge([np.array([[1]]), np.array([[2], [3]])], 2, pad=False)
    assert joined.tolist() == [[1], [2], [3], [2], [2]]
    assert padded([np.array([[7]]), np.array([[1, 2]])])[0].tolist() == [[7, 7]]
    with pytest.raises(InvalidArgument, match="empty tensor"):
        padded([np.empty((1, 0)), np.ones((1, 1))])


def test_parameters_are_read_and_checked(tmp_path):
    file = tmp_path / "batching.txt"
    file.write_text(
        "max_batch_size { value: 32 } batch_timeout_micros { value: 2000 } num_batch_threads { value: 3 }"
        "max_enqueued_batches { value: 5 } allowed_batch_sizes: [8, 32] pad_variable_length_inputs: true"
    )
    assert Parameters.read(file) == Parameters(32, 0.002, 5, 3, (8, 32), True)
    file.write_text("max_batch_size { value: 32 } allowed_batch_sizes: 16")
    with pytest.raises(InvalidArgument, match="last entry was 16; expected 32"):
        Parameters.read(file)
    file.write_text("max_batch_size 32 }")
    with pytest.raises(InvalidArgument, match="Invalid protobuf file"):
        Parameters.read(file)
    file.write_text("num_batch_threads { value: 3 }")
    assert Parameters.read(file) == Parameters(num_batch_threads=3, joined_rows=JOINED_ROWS)
    assert parameters_for(tmp_path, Parameters(), own=True) is None
    (tmp_path / "batching_params.pbtxt").write_text("max_batch_size { value: 7 }")
    assert parameters_for(tmp_path, Parameters(), own=True) == Parameters(7)
    assert parameters_for(tmp_path, Parameters(), own=False) == Parameters()


def test_batches_that_run_at_a_time_share_the_processors(tmp_path):
    def threads(parameters, **further):
        return _threads_of_a_run(Options(model_base_path=tmp_path, **further), parameters)

    cores = os.cpu_count()
    assert threads(Parameters()) == 1
    assert threads(Parameters(num_batch_threads=1)) == cores
    assert threads(Parameters(num_batch_threads=cores + 1)) == 1
    # Otherwise TensorFlow chooses, or the file says.
    assert threads(None) == 0
    assert threads(Parameters(), per_model_batching=True) == 0
    assert threads(Parameters(), session_config_file=tmp_path / "session.pbtxt") == 0
    # Each process has its part of the processors.
    assert threads(None, processes=2) == max(1, cores // 2)
    assert threads(Parameters(num_batch_threads=1), processes=cores) == 1
    assert threads(None, processes=2, session_config_file=tmp_path / "session.pbtxt") == 0


def test_a_server_batches_both_doors(models, tmp_path):
    (tmp_path / "models.config").write_text(config_text(models.root))
    (tmp_path / "batching.txt").write_text("max_batch_size { value: 64 } num_batch_threads { value: 1 }")
    options = Options(
        port=0,
        model_config_file=tmp_path / "models.config",
        batching=True,
        batching_parameters_file=tmp_path / "batching.txt",
    )
    with Server(options) as server, Client(server.target) as client, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda x: client.predict("line", x=floats(x))["y"].tolist(), range(100)))
        assert found == [[x / 2 + 6] for x in range(100)]
        with pytest.raises(InvalidArgument, match="larger than maximum input batch size 64"):
            client.predict("line", x=np.ones(65, np.float32))
