"""Requests that nobody waits for any more: no run begins for them, and a loop that runs is stopped."""

import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from google.protobuf import empty_pb2

from serving.client.client import Client
from serving.config import Options
from serving.engine import deadline
from serving.engine.batching.batcher import Batcher
from serving.engine.batching.parameters import Parameters
from serving.engine.servable import Servable
from serving.engine.stopping import Stopper
from serving.errors import DeadlineExceeded, InvalidArgument
from serving.server.grpc_handlers import handler
from serving.server.server import Server
from tests.serving import saved_models
from tests.serving.engine.held import Held, ask, floats


@pytest.fixture
def held(models):
    return Held("zoo", 1, models.root / "zoo" / "1")


def late(batcher, is_waiting, x):
    with deadline.waiting(deadline.Caller(is_waiting)):
        return ask(batcher, "refuse_negative", x=floats(x))["root"].tolist()


def test_a_batch_leaves_out_who_has_gone_while_it_waited(held):
    batcher, waits = Batcher(held, Parameters(num_batch_threads=1)), threading.Event()
    waits.set()
    held.gate.clear()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(ask, batcher, "refuse_negative", x=floats(4))
        assert held.entered.acquire(timeout=30)
        gone, stays = (
            pool.submit(late, batcher, is_waiting, 9) for is_waiting in (waits.is_set, lambda: True)
        )
        while sum(queue.rows for queue in list(batcher._queues.values())) < 2:
            assert not gone.done()
        waits.clear()
        held.gate.set()
        assert (first.result(30)["root"].tolist(), stays.result(30)) == ([2.0], [3.0])
        with pytest.raises(DeadlineExceeded, match="before the model ran"):
            gone.result(30)
    assert held.sizes == [1, 1]
    batcher.close()


def test_a_run_does_not_begin_for_nobody(held):
    with pytest.raises(DeadlineExceeded):
        late(held, lambda: False, 4)
    # The thread's next request is another's.
    assert ask(held, "refuse_negative", x=floats(4))["root"].tolist() == [2.0]
    held.close()


def test_the_deadline_of_a_call_reaches_the_engine():
    seen, left = [], []

    def answer(request, client):
        seen.append(deadline.current().waits())
        left.append(deadline.current().until - time.monotonic())
        while deadline.current().waits():
            pass
        ended.set()
        raise deadline.passed()

    ended = threading.Event()
    service = grpc.method_handlers_generic_handler("t", {"Call": handler(empty_pb2.Empty, answer)})
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, handlers=[service])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary("/t/Call")(b"", timeout=1)
        assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert ended.wait(30)
        server.stop(None).wait()
    assert seen == [True]
    assert 0 < left[0] < 2


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    """A model that counts to the number it is given, one by one."""
    return saved_models.counting(tmp_path_factory.mktemp("endless") / "1")


def test_a_loop_is_stopped_when_the_deadline_passes_and_the_model_answers_on(endless):
    options = Options(port=0, rest_port=0, rest_timeout=1, model_name="count", model_base_path=endless.parent)
    with Server(options) as server, Client(server.target, timeout=1) as client:
        with pytest.raises(DeadlineExceeded):
            client.predict("count", x=np.array([2**62]))
        request = urllib.request.Request(
            f"http://{server.rest_target}/v1/models/count:predict", f'{{"instances": [{2**62}]}}'.encode()
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        assert refused.value.code == 504
        # Neither run goes on: a thread of the server that still counted would hold the version in use.
        server.stop(grace=30)
    assert server._core.manager.models() == []


def test_a_batch_is_run_until_the_last_deadline_and_stopped_then(endless):
    model = Servable("count", 1, endless)
    batcher, now = Batcher(model, Parameters(num_batch_threads=1)), time.monotonic()
    callers = [deadline.Caller(until=now + seconds) for seconds in (0.2, 0.5)]
    assert deadline.joined(callers).until == now + 0.5
    assert deadline.joined([*callers, deadline.Caller()]).until is None

    def count(caller):
        with deadline.waiting(caller):
            return ask(batcher, "serving_default", x=np.array([2**62]))

    with ThreadPoolExecutor(2) as pool:
        for stopped in [pool.submit(count, caller) for caller in callers]:
            with pytest.raises(DeadlineExceeded):
                stopped.result(30)
    assert time.monotonic() >= callers[1].until
    assert ask(batcher, "serving_default", x=np.array([3, 5]))["y"].tolist() == [5, 5]
    batcher.close()


def test_quick_runs_and_graphs_without_loops_are_not_watched(endless, models, monkeypatch):
    watched = []
    watch = Stopper._watched
    monkeypatch.setattr(Stopper, "_watched", lambda self, *run: watched.append(run) or watch(self, *run))
    model, without, with_one = Servable("count", 1, endless), deadline.Caller(), deadline.Caller(until=1e9)
    assert Servable("line", 1, models.root / "line" / "1")._stopper is None

    def count(caller, number, *, last):
        """Count under a deadline or without; the last such run took some seconds, or is not known."""
        names = (tuple(info.name for info in model.signatures["serving_default"].inputs.values()),)
        model._stopper._seconds.clear()
        if last is not None:
            outputs = model.signatures["serving_default"].outputs.values()
            model._stopper._seconds[(*names, tuple(info.name for info in outputs))] = last
        with deadline.waiting(caller):
            return ask(model, "serving_default", x=number)["y"].tolist()

    assert [count(without, np.array([3]), last=None), count(with_one, np.array([3]), last=0.01)] == [[3], [3]]
    assert watched == []
    assert [count(with_one, np.array([4]), last=last) for last in (None, 1.0)] == [[4], [4]]
    assert len(watched) == 2
    with pytest.raises(InvalidArgument, match=r"Expects arg\[0\] to be int64 but int32 is provided"):
        count(with_one, np.array([4], np.int32), last=None)
    model.close()
