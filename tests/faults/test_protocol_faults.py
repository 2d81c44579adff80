"""Hostile callers: broken messages, oversized claims, slow and many sockets, open addresses, leaks."""

import contextlib
import gzip
import http.client
import json
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
import psutil
import pytest
from tensorflow_serving.apis import predict_pb2

from serving import tensors
from serving.client.client import Client
from serving.config import Options
from serving.server.server import Server
from tests.serving import saved_models
from tests.serving.test_tensors import mutants

X = np.array([2.0], np.float32)
PREDICT = "/tensorflow.serving.PredictionService/Predict"
POST = b"POST /v1/models/line:predict HTTP/1.1\r\nHost: localhost\r\n"
Code = grpc.StatusCode


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("line")
    saved_models.line(folder / "1")
    return folder


@pytest.fixture(scope="module")
def server(base):
    options = Options(port=0, rest_port=0, model_name="line", model_base_path=base, rest_idle_seconds=1.0)
    with Server(options) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with Client(server.target) as made:
        yield made


@pytest.fixture(scope="module")
def child(base):
    """A server in a process of its own, whose memory is watched: process, gRPC target, REST target."""
    command = [
        *(sys.executable, "-m", "serving", "--port=0", "--rest_api_port=0", "--model_name=line"),
        f"--model_base_path={base}",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    doors = [process.stdout.readline().split()[1] for _ in range(2)]
    yield psutil.Process(process.pid), *doors
    process.kill()
    process.communicate()


def answers(client) -> bool:
    return client.predict("line", x=X)["y"].tolist() == [3.0]


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + _varint(number >> 7)


def _requests(count: int):
    rng = random.Random(11)
    spec = predict_pb2.PredictRequest()
    spec.model_spec.name = "line"
    whole = predict_pb2.PredictRequest()
    whole.CopyFrom(spec)
    tensors.encode(np.arange(6, dtype=np.float32), whole.inputs["x"])
    good = whole.SerializeToString()
    for tensor in mutants(count, seed=1):
        if rng.random() < 0.3:
            yield bytes(byte if rng.random() > 0.05 else rng.randrange(256) for byte in good)
            continue
        entry = b"\n\x01x\x12" + _varint(len(tensor)) + tensor
        yield spec.SerializeToString() + b"\x12" + _varint(len(entry)) + entry


def test_s1_two_thousand_broken_messages_are_refused_one_by_one(child):
    process, target, _ = child
    allowed = {Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.FAILED_PRECONDITION, Code.RESOURCE_EXHAUSTED}
    codes = []
    with grpc.insecure_channel(target) as channel, Client(target) as client:
        call = channel.unary_unary(PREDICT)
        assert answers(client)
        before = process.memory_info().rss
        for message in _requests(2_000):
            try:
                call(message, timeout=10)
                codes.append(Code.OK)
            except grpc.RpcError as error:
                codes.append(error.code())
        assert answers(client)
    assert set(codes) <= allowed | {Code.OK}
    assert codes.count(Code.INVALID_ARGUMENT) > 500
    assert process.memory_info().rss - before < 60 << 20


def splat() -> bytes:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "line"
    proto = request.inputs["x"]
    proto.dtype, proto.float_val[:] = 1, [1.0]
    for _ in range(2):
        proto.tensor_shape.dim.add().size = 20_000
    return request.SerializeToString()


def test_s3_declared_sizes_take_no_memory(child):
    process, target, _ = child
    with grpc.insecure_channel(target) as channel, Client(target) as client:
        assert answers(client)
        before = process.memory_info().rss
        for _ in range(20):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(PREDICT)(splat(), timeout=10)
            assert caught.value.code() is Code.RESOURCE_EXHAUSTED
        assert process.memory_info().rss - before < 20 << 20


def post(target: str, body: bytes, **headers) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(target, timeout=20)
    try:
        connection.request("POST", "/v1/models/line:predict", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_s3_a_body_that_unpacks_to_a_gigabyte_is_refused_before_it_does(child):
    process, _, rest = child
    assert post(rest, b'{"instances": [2.0]}')[0] == 200
    packed = gzip.compress(b"[" * (256 << 20), 9)
    assert len(packed) < 1 << 20
    before = process.memory_info().rss
    status, body = post(rest, packed, **{"Content-Encoding": "gzip"})
    assert status in (400, 413)
    assert "error" in json.loads(body)
    assert process.memory_info().rss - before < 150 << 20
    assert post(rest, b'{"instances": [2.0]}')[0] == 200


def test_s3_a_declared_body_over_the_bound_is_refused_before_it_is_sent(server, client):
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) as caller:
        caller.sendall(
            b"POST /v1/models/line:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n"
        )
        assert b" 413 " in caller.recv(200)
    assert answers(client)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/models/line HTTP/1.1\r\nHost: localhost\r\n"
        + b"".join(b"X-%d: y\r\n" % i for i in range(100_000))
        + b"\r\n",
        b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/models/line HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
    ],
    ids=["headers", "line", "header"],
)
def test_s3_oversized_heads_are_refused(server, client, head):
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) as caller:
        with contextlib.suppress(ConnectionError):
            caller.sendall(head)
        with contextlib.suppress(ConnectionError):
            assert re.match(rb"HTTP/1\.[01] 4\d\d |$", caller.recv(200))
    assert answers(client)


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = struct.pack(">I", 0)[1:] + b"\x04\x00" + b"\0\0\0\0"


def _closed(sockets, seconds: float) -> int:
    """Count the sockets that the server closes within a time."""
    deadline = time.monotonic() + seconds
    left = list(sockets)
    while left and time.monotonic() < deadline:
        for one in list(left):
            try:
                one.settimeout(0.001)
                if one.recv(4096) == b"":
                    left.remove(one)
            except TimeoutError:
                continue
            except OSError:
                left.remove(one)
    return len(sockets) - len(left)


def test_s4_two_hundred_sockets_that_never_finish_their_headers_are_closed(server, client):
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.rest_port))) for _ in range(200)
        ]
        for number, one in enumerate(sockets):
            one.sendall((b"", b"GET /v1/mod", b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-A")[number % 3])
        status, _ = post(server.rest_target, b'{"instances": [2.0]}')
        assert status == 200
        assert answers(client)
        assert _closed(sockets, 20) == 200


def test_s4_grpc_sockets_that_never_get_to_a_request_are_closed(base):
    arguments = (("grpc.server_handshake_timeout_ms", 500), ("grpc.max_connection_idle_ms", 1000))
    options = Options(port=0, model_name="line", model_base_path=base, grpc_channel_arguments=arguments)
    with Server(options) as server, Client(server.target) as client, contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(100)
        ]
        for number, one in enumerate(sockets):
            one.sendall((b"", PREFACE[:9], PREFACE + SETTINGS)[number % 3])
        assert answers(client)
        assert _closed(sockets, 20) == 100


def test_s5_a_thousand_idle_connections_leave_room_for_the_next(child):
    process, target, rest = child
    with Client(target) as client, contextlib.ExitStack() as stack:
        assert answers(client)
        before = process.memory_info().rss
        for door in (target, rest):
            host, _, port = door.partition(":")
            for _ in range(500):
                stack.enter_context(socket.create_connection((host, int(port))))
        for _ in range(50):
            assert answers(client)
        assert post(rest, b'{"instances": [2.0]}')[0] == 200
        assert process.memory_info().rss - before < 100 << 20


def grown(process: psutil.Process, work, rounds: int) -> int:
    """Return the bytes by which a process grew over rounds of work, after two rounds to warm up."""
    work()
    work()
    before = process.memory_info().rss
    for _ in range(rounds):
        work()
    return process.memory_info().rss - before


def test_s9_thousands_of_requests_leave_no_trace_and_a_leak_would(child):
    process, target, _ = child
    with Client(target) as client:
        small = np.zeros(64, np.float32)

        def work():
            for _ in range(500):
                client.predict("line", x=small)

        assert grown(process, work, 6) < 10 << 20
        threads = process.num_threads()
        work()
        assert process.num_threads() <= threads + 2
    # The control: a process that keeps a kilobyte of each request is caught by the same measure.
    kept = []
    own = psutil.Process()
    assert grown(own, lambda: kept.extend(bytes([1]) * 5000 for _ in range(500)), 6) > 10 << 20


def test_s12_an_open_address_needs_to_be_asked_for(base):
    command = [sys.executable, "-m", "serving", "--host=0.0.0.0", "--port=0", f"--model_base_path={base}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78
    assert "--insecure_listen" in done.stderr
    assert "Traceback" not in done.stderr


def test_s12_both_doors_listen_on_loopback_alone(child):
    process, *_ = child
    listening = [one for one in process.net_connections() if one.status == psutil.CONN_LISTEN]
    assert len(listening) == 2
    assert {one.laddr.ip.removeprefix("::ffff:") for one in listening} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /v1/models/line HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"GET /v1/models/line HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", 403),
        (
            POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
            400,
        ),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Content-Length: 1e3\r\n\r\n", 400),
        (b"POST /v1/models/line:predict HTTP/1.1\r\nHost : localhost\r\nContent-Length: 0\r\n\r\n", 400),
        (b"G\x00T /v1/models/line HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ],
    ids=["host", "host suffix", "smuggle", "two lengths", "negative", "exponent", "blank", "method"],
)
def test_s15_requests_made_to_confuse_are_refused(server, client, head, status):
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) as caller:
        caller.sendall(head)
        assert caller.recv(200).split(b" ")[1] == str(status).encode()
    assert answers(client)


def test_s16_one_bad_request_never_spoils_a_batch_with_good_ones(base):
    options = Options(port=0, model_name="line", model_base_path=base, batching=True)
    with Server(options) as server, Client(server.target) as client:
        wrong: list[Exception] = []

        def spoil():
            for _ in range(100):
                for bad in ({"x": np.array([1])}, {"x": np.zeros((2, 2, 2), np.float32)}, {"z": X}):
                    with contextlib.suppress(Exception):
                        client.predict("line", bad)

        def ask():
            for number in range(200):
                try:
                    got = client.predict("line", x=np.array([number], np.float32))["y"]
                    assert got.tolist() == [number / 2 + 2]
                except Exception as error:
                    wrong.append(error)

        threads = [threading.Thread(target=work) for work in (spoil, ask, ask, ask)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
