"""TensorFlow's own profiler client asks the server while it answers."""

import threading

import grpc
import numpy as np
import pytest
from tensorflow.python.profiler import profiler_client

from serving.client.client import Client
from serving.config import Options
from serving.server import profiling
from serving.server.server import Server

SERVICE = "/tensorflow.ProfilerService"


@pytest.fixture(scope="module")
def server(models):
    options = Options(port=0, model_name="line", model_base_path=models.root / "line")
    with Server(options) as running:
        yield running


@pytest.fixture(scope="module")
def busy(server):
    """Keep the model busy while the tests of this file run."""
    stop = threading.Event()

    def repeat():
        with Client(server.target) as client:
            while not stop.is_set():
                client.predict("line", x=np.array([2.0], np.float32))

    thread = threading.Thread(target=repeat)
    thread.start()
    yield
    stop.set()
    thread.join()


def call(server, method, request, response=profiling.ProfileResponse):
    with grpc.insecure_channel(server.target) as channel:
        raw = channel.unary_unary(f"{SERVICE}/{method}")(request.SerializeToString(), timeout=30)
    return response.FromString(raw)


def test_tensorflows_client_saves_a_profile_of_the_operations_that_ran(server, busy, tmp_path):
    profiler_client.trace(server.target, str(tmp_path), duration_ms=200)
    (saved,) = tmp_path.glob("plugins/profile/*/*.xplane.pb")
    operations = saved.read_bytes()
    assert b"AddV2" in operations
    assert b"/host:CPU" in operations
    # Nothing was written where the request said, as the client's machine may be another.
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_a_profile_ends_early_when_told_and_one_at_a_time_is_taken(server, busy):
    request = profiling.ProfileRequest(session_id="mine", emit_xspace=True)
    request.opts.duration_ms = 60_000
    calls, answers = profiling.Profiler(), []
    thread = threading.Thread(target=lambda: answers.append(calls.profile(request)))
    thread.start()
    while not calls._running:
        assert thread.is_alive()
    with pytest.raises(grpc.RpcError) as refused:
        call(server, "Profile", profiling.ProfileRequest())
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert calls.terminate(profiling.TerminateRequest(session_id="another")) == profiling.TerminateResponse()
    assert thread.is_alive()
    with Client(server.target) as client:
        client.predict("line", x=np.array([2.0], np.float32))
    calls.terminate(profiling.TerminateRequest(session_id="mine"))
    thread.join(30)
    assert [answer.empty_trace for answer in answers] == [False]
    assert b"AddV2" in answers[0].xspace
    assert not answers[0].tool_data


def test_monitoring_is_refused_as_by_tensorflow_outside_of_tpus(server):
    with pytest.raises(RuntimeError, match="UNIMPLEMENTED: unimplemented"):
        profiler_client.monitor(server.target, 100)


def test_without_the_flag_there_is_no_such_service(models):
    options = Options(port=0, model_name="line", model_base_path=models.root / "line", profiler=False)
    with Server(options) as server, pytest.raises(grpc.RpcError) as refused:
        call(server, "Profile", profiling.ProfileRequest())
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
