"""Requests that nobody waits for any more: no run begins for them, alone or in a batch."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf import empty_pb2

from serving.engine import deadline
from serving.engine.batching import Batcher
from serving.engine.batching_parameters import Parameters
from serving.errors import DeadlineExceeded
from serving.server.grpc_handlers import handler
from tests.serving.engine.held import Held, ask, floats


@pytest.fixture
def held(models):
    return Held("zoo", 1, models.root / "zoo" / "1")


def late(batcher, is_waiting, x):
    with deadline.waiting(is_waiting):
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
    seen = []

    def answer(request, client):
        seen.append(deadline.caller()())
        while deadline.caller()():
            pass
        ended.set()
        return request

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
