"""What goes wrong while a server runs: swaps, corrupt versions, vanished folders, signals, health."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow.python.data.experimental.ops import testing

from features.errors import UnavailableError
from serving import errors
from serving.client.client import Client
from serving.config import Options
from serving.engine.servable import Servable
from serving.repository.repository import Repository
from serving.server.server import Server
from tests.serving import saved_models

X = np.array([2.0], np.float32)
POLL = 0.03


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """Three SavedModels; number n answers x / 2 + 2 n."""
    root = tmp_path_factory.mktemp("lines")
    return [saved_models.line(root / str(n), b=2.0 * n) for n in (1, 2, 3)]


@pytest.fixture
def place(lines, tmp_path):
    """Put a copy of a line below a base path, whole at once."""

    def put(version: int, base: Path = tmp_path / "line") -> Path:
        base.mkdir(parents=True, exist_ok=True)
        staged = tmp_path / f".staged-{version}"
        shutil.copytree(lines[(version - 1) % 3], staged)
        return staged.rename(base / str(version))

    return put


def options(base: Path, **settings) -> Options:
    settings = {"poll_seconds": POLL, "max_load_retries": 0, **settings}
    return Options(port=0, model_name="line", model_base_path=base, **settings)


def until(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.01)


def answer(version: int) -> float:
    return 1.0 + 2.0 * ((version - 1) % 3 + 1)


class Load:
    """Callers that ask without pause and keep what they got."""

    def __init__(self, target: str, callers: int = 3) -> None:
        self.failures: list[Exception] = []
        self.versions: list[list[int]] = [[] for _ in range(callers)]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(target, seen)) for seen in self.versions]

    def _ask(self, target: str, seen: list[int]) -> None:
        with Client(target, timeout=20) as client:
            while not self._stop.is_set():
                try:
                    got = client.predict("line", x=X)
                    assert got["y"][0] == answer(got.version)
                    seen.append(got.version)
                except Exception as error:
                    self.failures.append(error)

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *args) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.proof
def test_s6_twenty_swaps_under_load_fail_no_request_and_never_go_back(place, tmp_path):
    place(1)
    with Server(options(tmp_path / "line")) as server, Client(server.target) as client:
        with Load(server.target) as load:
            for version in range(2, 22):
                place(version)
                until(lambda wanted=version: client.predict("line", x=X).version == wanted)
                shutil.rmtree(tmp_path / "line" / str(version - 1))
        states = {one.version: one.state for one in client.status("line")}
        until(lambda: client.status("line", 20)[0].state == "END")
    assert load.failures == []
    assert sum(map(len, load.versions)) > 200
    for seen in load.versions:
        assert seen == sorted(seen)
        assert len(set(seen)) > 5
    assert states[21] == "AVAILABLE"


@pytest.mark.proof
def test_s6_the_memory_of_old_versions_is_given_back(place, tmp_path):
    for version in range(1, 4):
        place(version)
    process = psutil.Process()
    base = tmp_path / "line"
    with Server(options(base)) as server, Client(server.target) as client:

        def swap(first: int, last: int) -> None:
            for version in range(first, last):
                place(version)
                until(lambda wanted=version: client.predict("line", x=X).version == wanted)
                shutil.rmtree(base / str(version - 1))

        swap(4, 9)
        before, threads, files = process.memory_info().rss, process.num_threads(), process.num_fds()
        swap(9, 24)
        until(lambda: client.status("line", 22)[0].state == "END")
        assert process.memory_info().rss - before < 40 << 20
        assert process.num_threads() <= threads + 4
        assert process.num_fds() <= files + 8


def _no_graph(path: Path) -> None:
    (path / "saved_model.pb").unlink()


def _half_graph(path: Path) -> None:
    graph = path / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[: graph.stat().st_size // 2])


def _empty_graph(path: Path) -> None:
    (path / "saved_model.pb").write_bytes(b"")


def _no_variables(path: Path) -> None:
    shutil.rmtree(path / "variables")


def _cut_data(path: Path) -> None:
    data = path / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:2])


def _flipped_bit(path: Path) -> None:
    data = path / "variables" / "variables.data-00000-of-00001"
    raw = bytearray(data.read_bytes())
    raw[0] ^= 1
    data.write_bytes(raw)


def _garbage_graph(path: Path) -> None:
    (path / "saved_model.pb").write_bytes(os.urandom(500))


def _warmup_error(path: Path) -> None:
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "line"
    request.inputs["wrong"].CopyFrom(tf.make_tensor_proto([1.0]))
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(request)
    extra = path / "assets.extra"
    extra.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())


def _cut_warmup(path: Path) -> None:
    extra = path / "assets.extra"
    extra.mkdir(exist_ok=True)
    (extra / "tf_serving_warmup_requests").write_bytes(b"\x10\0\0\0\0\0\0\0half")


DAMAGES = [
    _no_graph,
    _half_graph,
    _empty_graph,
    _garbage_graph,
    _no_variables,
    _cut_data,
    _flipped_bit,
    _warmup_error,
    _cut_warmup,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_s7_a_corrupt_version_fails_no_request_and_says_why_until_it_is_fixed(place, tmp_path, damage):
    place(1)
    base = tmp_path / "line"
    with Server(options(base)) as server, Client(server.target) as client, Load(server.target, 1) as load:
        broken = place(2, tmp_path / "aside")
        damage(broken)
        broken.rename(base / "2")
        until(lambda: any(one.version == 2 and one.state == "END" for one in client.status("line")))
        told = client.status("line", 2)[0]
        assert told.code != "OK"
        assert told.message
        assert client.predict("line", x=X).version == 1
        assert server.ready
        # S8: the same version, repaired, is taken up by itself.
        shutil.rmtree(base / "2")
        place(2)
        until(lambda: client.predict("line", x=X).version == 2)
        assert client.status("line", 2)[0].code == "OK"
    assert load.failures == []


def test_s7_a_release_changed_after_publishing_is_refused_by_file_name(lines, tmp_path):
    repository = Repository(tmp_path / "models")
    for line in lines[:2]:
        candidate = tmp_path / f"candidate-{line.name}"
        shutil.copytree(line, candidate)
        released = repository.publish("line", candidate, {}, promote=line is lines[0])
    data = released.path / "variables" / "variables.data-00000-of-00001"
    raw = bytearray(data.read_bytes())
    raw[0] ^= 1
    data.write_bytes(raw)
    settings = Options(port=0, repository=repository.root, poll_seconds=POLL, max_load_retries=0)
    with Server(settings) as server, Client(server.target) as client:
        assert client.predict("line", x=X).version == 1
        repository.promote("line", 2, "test")
        until(lambda: any(one.version == 2 and one.state == "END" for one in client.status("line")))
        told = client.status("line", 2)[0]
        assert told.code == "DATA_LOSS"
        assert "variables.data-00000-of-00001" in told.message
        assert client.predict("line", x=X).version == 1


def test_s8_a_base_path_that_vanishes_empties_and_returns_takes_nothing_down(place, tmp_path):
    place(1)
    base = tmp_path / "line"
    with Server(options(base)) as server, Client(server.target) as client, Load(server.target, 1) as load:
        base.rename(tmp_path / "away")
        time.sleep(5 * POLL)
        assert client.predict("line", x=X).version == 1
        base.mkdir()
        time.sleep(5 * POLL)
        assert client.predict("line", x=X).version == 1
        base.rmdir()
        (tmp_path / "away").rename(base)
        place(2)
        until(lambda: client.predict("line", x=X).version == 2)
    assert load.failures == []


def test_s8_a_failed_load_is_tried_again_without_a_change(place, tmp_path):
    broken = place(1)
    graph = broken / "saved_model.pb"
    raw = graph.read_bytes()
    graph.write_bytes(b"")
    settings = options(tmp_path / "line", max_load_retries=1000, load_retry_seconds=0.02, poll_seconds=0)
    with Server(settings) as server, Client(server.target) as client:
        assert client.status("line", 1)[0].state == "LOADING"
        graph.write_bytes(raw)
        until(lambda: any(one.available for one in client.status("line")))
        assert client.predict("line", x=X).version == 1


def test_s8_versions_may_come_and_go_and_come_back(place, tmp_path):
    base = tmp_path / "line"
    place(1)
    with Server(options(base)) as server, Client(server.target) as client, Load(server.target, 1) as load:
        for _ in range(5):
            place(2)
            until(lambda: client.predict("line", x=X).version == 2)
            shutil.rmtree(base / "2")
            until(lambda: client.predict("line", x=X).version == 1)
    assert load.failures == []


def health(target: str, service: str = "") -> str:
    with grpc.insecure_channel(target) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        told = health_pb2_grpc.HealthStub(channel).Check(request, timeout=10).status
    return health_pb2.HealthCheckResponse.ServingStatus.Name(told)


def test_s17_health_says_serving_only_while_the_model_answers(place, tmp_path):
    broken = place(1)
    graph = (broken / "saved_model.pb").read_bytes()
    (broken / "saved_model.pb").write_bytes(b"")
    with Server(options(tmp_path / "line")) as server, Client(server.target) as client:
        assert health(server.target) == "NOT_SERVING"
        assert health(server.target, "tensorflow.serving.PredictionService") == "NOT_SERVING"
        assert not server.ready
        with pytest.raises(errors.NotFound):
            client.predict("line", x=X)
        (broken / "saved_model.pb").write_bytes(graph)
        until(lambda: health(server.target) == "SERVING")
        assert client.predict("line", x=X).version == 1
        # All versions broken later: the good one stays in memory and goes on answering.
        second = place(2, tmp_path / "aside")
        (second / "saved_model.pb").write_bytes(b"")
        second.rename(tmp_path / "line" / "2")
        until(lambda: any(one.version == 2 and one.state == "END" for one in client.status("line")))
        assert health(server.target) == "SERVING"


class _Slow(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def slow(self, x):
        # Sleeps in the graph, which takes no core from the server and from the tests.
        waited = tf.data.Dataset.from_tensors(0.0).apply(testing.sleep(400_000)).get_single_element()
        return {"y": x + waited}


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    base = tmp_path_factory.mktemp("slow")
    module = _Slow()
    tf.saved_model.save(module, str(base / "1"), signatures={"serving_default": module.slow})
    return base


@pytest.fixture
def running(slow):
    """A server in a process of its own, serving the slow model, and its address."""
    command = [sys.executable, "-m", "serving", "--port=0", "--model_name=slow", f"--model_base_path={slow}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line.startswith("gRPC ")
    yield process, line.split()[1]
    process.kill()
    process.communicate()


def test_s10_sigterm_refuses_new_requests_finishes_those_in_flight_and_ends_with_0(running):
    process, target = running
    with ThreadPoolExecutor(8) as pool, Client(target, timeout=60) as client:
        waiting = [pool.submit(client.predict, "slow", x=np.array([i], np.float32)) for i in range(8)]
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        with pytest.raises(UnavailableError), Client(target, timeout=60) as late:
            late.predict("slow", x=X)
        assert [one.result()["y"].tolist() for one in waiting] == [[float(i)] for i in range(8)]
    assert process.wait(timeout=30) == 0


def test_s10_a_second_signal_ends_at_once(running):
    process, target = running
    with ThreadPoolExecutor(2) as pool, Client(target, timeout=60) as client:
        waiting = pool.submit(client.predict, "slow", x=X)
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 128 + signal.SIGTERM
        with pytest.raises((UnavailableError, errors.ServerError)):
            waiting.result()


def test_s14_a_request_whose_deadline_has_passed_while_it_waited_is_dropped(slow, monkeypatch):
    runs = []
    run = Servable.run
    monkeypatch.setattr(Servable, "run", lambda *args: (runs.append(args), run(*args))[1])
    settings = Options(port=0, model_name="slow", model_base_path=slow, threads=1)
    with (
        Server(settings) as server,
        ThreadPoolExecutor(6) as pool,
        Client(server.target, timeout=30) as patient,
        Client(server.target, timeout=0.05) as hasty,
    ):
        first = pool.submit(patient.predict, "slow", x=X)
        until(lambda: runs)
        late = [pool.submit(hasty.predict, "slow", x=X) for _ in range(4)]
        for one in late:
            with pytest.raises(errors.DeadlineExceeded):
                one.result()
        assert not first.done()
        assert patient.predict("slow", x=X)["y"].tolist() == [2.0]
    assert len(runs) == 2


def test_s5_more_requests_than_may_wait_are_refused_at_once(slow):
    settings = Options(port=0, model_name="slow", model_base_path=slow, threads=1, queue=2)
    with Server(settings) as server, ThreadPoolExecutor(12) as pool, Client(server.target) as client:
        futures = [pool.submit(client.predict, "slow", x=X) for _ in range(12)]
        outcomes = [one.exception() for one in futures]
    assert sum(one is None for one in outcomes) >= 3
    refused = [one for one in outcomes if one is not None]
    assert refused
    assert all(isinstance(one, errors.ResourceExhausted) for one in refused)
