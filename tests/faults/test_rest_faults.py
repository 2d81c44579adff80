"""The REST interface under abuse (S2-S5, S12-S15): refused with a reason, never a crash."""

import gzip
import http.client
import json
import random
import socket
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest

from serving.client.client import Client
from serving.config import Options
from serving.rest import json_text
from serving.server.server import Server
from tests.serving.conftest import Models, config_text, models, post_json, rest_api, server

__all__ = ["models", "post_json", "rest_api", "server"]

SEEDS = [
    ("line:predict", b'{"instances": [1.0, 2.5e-3, -7]}'),
    ("line:predict", b'{"inputs": {"x": [NaN, Infinity, 3]}}'),
    ("zoo:predict", b'{"instances": [{"a": [1, 2], "b": 5, "c": {"b64": "AP8="}}]}'),
    ("zoo:predict", b'{"signature_name": "ragged", "inputs": [[1, 2], [3, 4]]}'),
    ("identities:predict", b'{"signature_name": "string", "inputs": [["\\u00e9\\ud83d\\ude00"], ["b"]]}'),
    ("identities:predict", b'{"signature_name": "uint64", "inputs": [[18446744073709551615]]}'),
    ("classic:classify", b'{"signature_name": "classify_sign", "examples": [{"x": 1.5}, {"x": [2.0]}]}'),
    ("classic:regress", b'{"signature_name": "regress_x_to_y", "context": {"x": 1.0}, "examples": [{}]}'),
]
PIECES = [
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b",",
    b":",
    b"null",
    b"NaN",
    b"-Inf",
    b"1e999",
    b"\\ud800",
    b"\xff",
    b"\0",
]
PIECES += [b"9" * 5000, b"[" * 500, b'"instances":', b'"b64"', b"true", b"0.1e", b"-"]


def _mutant(body: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 4)):
        at, to = sorted((rng.randrange(len(body) + 1), rng.randrange(len(body) + 1)))
        kind = rng.randrange(4)
        if kind == 0:
            body = body[:at] + rng.choice(PIECES) + body[at:]
        elif kind == 1:
            body = body[:at] + body[to:]
        elif kind == 2:
            body = body[:to] + body[at:]
        else:
            body = body[:at] + rng.randbytes(1) + body[at + 1 :]
    return body


def test_s2_five_thousand_mutants_are_answered_or_refused(post_json):
    rng = random.Random(2)
    seen = set()
    for _ in range(5000):
        path, body = rng.choice(SEEDS)
        mutant = _mutant(body, rng)
        status, answer = post_json(path, mutant)
        assert status in (200, 400, 404, 501), (path, mutant, answer)
        assert status == 200 or (set(answer) == {"error"} and len(answer["error"]) < 8192), (path, mutant)
        seen.add(status)
    assert {200, 400} <= seen


def test_s2_half_a_million_brackets_are_read_or_refused_without_recursion(post_json):
    nested = b"[" * 500_000 + b"]" * 500_000
    status, answer = post_json("line:predict", b'{"instances": [1.0], "nested": ' + nested + b"}")
    assert (status, answer) == (200, {"predictions": [6.5]})
    nested = b"[" * 50_000 + b"]" * 50_000
    for key in (b"instances", b"inputs", b"signature_name"):
        assert post_json("line:predict", b'{"' + key + b'": ' + nested + b"}")[0] == 400
    assert post_json("line:predict", nested[:50_000])[0] == 400


@pytest.fixture(scope="module")
def strict(models: Models, tmp_path_factory):
    file = tmp_path_factory.mktemp("strict") / "models.config"
    file.write_text(config_text(models.root))
    options = Options(port=0, rest_port=0, model_config_file=file, rest_idle_seconds=1.0)
    with Server(options) as running:
        yield running


def _status(port, method="GET", path="/v1/models/line", body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def _until_closed(connection):
    received = b""
    connection.settimeout(20)
    try:
        while piece := connection.recv(4096):
            received += piece
    except ConnectionResetError:
        pass
    return received


def test_s3_a_body_over_the_limit_is_refused_by_its_header_alone(strict):
    with socket.create_connection(("127.0.0.1", strict.rest_port)) as connection:
        head = b"POST /v1/models/line:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 68157440\r\n\r\n"
        connection.sendall(head)
        connection.settimeout(20)
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


GOOD = b'{"instances": [1.0]}'
GZIP = gzip.compress(GOOD)
RAW = zlib.compressobj(wbits=-15)
#: Content-Encoding and body, and what is answered: a status and a word of the error.
ENCODED = {
    "gzip": ("gzip", GZIP, 200, ""),
    "upper case": ("GZIP", GZIP, 200, ""),
    "x-gzip": ("x-gzip", GZIP, 200, ""),
    "two members": ("gzip", GZIP + gzip.compress(b" "), 200, ""),
    "deflate": ("deflate", zlib.compress(GOOD), 200, ""),
    "deflate without header": ("deflate", RAW.compress(GOOD) + RAW.flush(), 200, ""),
    "identity": ("identity", GOOD, 200, ""),
    "large": ("gzip", gzip.compress(GOOD + b" " * (5 << 20)), 200, ""),
    "plain": ("gzip", GOOD, 400, "the body is not gzip data"),
    "no checksum": ("gzip", GZIP[:-8], 400, "ends prematurely"),
    "half": ("gzip", GZIP[: len(GZIP) // 2], 400, "ends prematurely"),
    "one byte": ("gzip", GZIP[:1], 400, "ends prematurely"),
    "wrong checksum": ("gzip", GZIP[:-8] + bytes(8), 400, "incorrect data check"),
    "trailing junk": ("gzip", GZIP + b"junk", 400, "the body is not gzip data"),
    "deflate as gzip": ("gzip", zlib.compress(GOOD), 400, "the body is not gzip data"),
    "gzip as deflate": ("deflate", GZIP, 400, "the body is not deflate data"),
    "half deflate": ("deflate", zlib.compress(GOOD)[:-6], 400, "ends prematurely"),
    "unknown": ("br", GOOD, 400, "Content-Encoding 'br' is not supported"),
    "two encodings": ("gzip, gzip", gzip.compress(GZIP), 400, "is not supported"),
    "none for gzip": ("identity", GZIP, 400, "JSON"),
    "bomb": ("gzip", gzip.compress(bytes(100 << 20)), 413, "the body is larger than"),
    "bomb in a bomb": ("gzip", gzip.compress(gzip.compress(bytes(100 << 20))), 400, "JSON"),
}


@pytest.mark.parametrize("name", ENCODED)
def test_s3_a_compressed_body_is_read_or_refused_with_a_json_error(strict, name, caplog):
    encoding, body, status, words = ENCODED[name]
    connection = http.client.HTTPConnection("127.0.0.1", strict.rest_port, timeout=30)
    connection.request("POST", "/v1/models/line:predict", body, {"Content-Encoding": encoding})
    response = connection.getresponse()
    answer = json.load(response)
    connection.close()
    assert response.status == status, answer
    assert response.getheader("Content-Type") == "application/json"
    assert words in answer.get("error", "")
    assert status != 200 or answer == {"predictions": [6.5]}
    assert "Traceback" not in caplog.text
    assert _status(strict.rest_port, "GET", headers={"Content-Encoding": "gzip"}) == 200


def test_s3_headers_without_end_are_refused_and_take_no_memory(strict):
    before = psutil.Process().memory_info().rss
    with socket.create_connection(("127.0.0.1", strict.rest_port)) as connection:
        try:
            connection.sendall(b"GET /v1/models/line HTTP/1.1\r\nHost: localhost\r\n")
            connection.sendall(b"".join(b"X-%d: y\r\n" % number for number in range(100_000)) + b"\r\n")
        except OSError:
            pass
        assert b" 200 " not in _until_closed(connection).split(b"\r\n")[0]
    assert psutil.Process().memory_info().rss - before < 50 << 20
    assert _status(strict.rest_port) == 200


def test_s4_slow_and_silent_connections_are_closed_while_others_are_served(strict):
    address = ("127.0.0.1", strict.rest_port)
    slow = [socket.create_connection(address) for _ in range(100)]
    silent = [socket.create_connection(address) for _ in range(100)]
    try:
        for connection in slow:
            connection.sendall(b"GET /v1/models/line HTT")
        assert [_status(strict.rest_port) for _ in range(5)] == [200] * 5
        for connection in (*slow, *silent):
            assert b"HTTP/1.1 200" not in _until_closed(connection)
    finally:
        for connection in (*slow, *silent):
            connection.close()
    assert _status(strict.rest_port) == 200


def test_s2_a_body_that_breaks_off_holds_nothing_up(strict):
    with socket.create_connection(("127.0.0.1", strict.rest_port)) as connection:
        connection.sendall(
            b"POST /v1/models/line:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{"
        )
    assert _status(strict.rest_port) == 200


def test_s12_every_other_path_is_unknown(strict):
    for path in (
        "/index.html",
        "/docs",
        "/metrics",
        "/monitoring/prometheus/metrics",
        "/v1",
        "/v2/health/ready",
        "/x/readyz",
    ):
        assert _status(strict.rest_port, path=path) == 404
    assert _status(strict.rest_port, path="/livez") == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8501", "localhost.evil"]
)
def test_s15_a_name_that_was_made_to_resolve_here_is_refused(strict, host):
    assert _status(strict.rest_port, headers={"Host": host}) == 403


def test_s15_two_lengths_are_no_request(strict):
    with socket.create_connection(("127.0.0.1", strict.rest_port)) as connection:
        connection.sendall(
            b"POST /v1/models/line:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            b"GET /v1/models/line HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        answer = _until_closed(connection)
    assert answer.split(b" ")[1] == b"400"
    assert answer.count(b"HTTP/1.") == 1


def test_s5_more_requests_than_can_wait_are_told_so_at_once(models: Models):
    base = models.root / "line"
    options = Options(port=0, rest_port=0, model_base_path=base, rest_threads=1, queue=1, model_name="line")
    with Server(options) as running:
        held, go = threading.Barrier(3), threading.Event()
        api = running._rest._api
        answer = api.answer

        def slow(*arguments):
            go.wait(30)
            return answer(*arguments)

        api.answer = slow
        statuses = []

        def ask():
            connection = http.client.HTTPConnection("127.0.0.1", running.rest_port, timeout=30)
            connection.request("POST", "/v1/models/line:predict", b'{"instances": [1]}')
            held.wait(30)
            statuses.append(connection.getresponse().status)
            connection.close()

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        held.wait(30)
        while running._rest._busy < 2:
            pass
        assert _status(running.rest_port, "POST", "/v1/models/line:predict", b"{}") == 429
        go.set()
        for thread in threads:
            thread.join()
        assert statuses == [200, 200]


@pytest.fixture
def narrow(models: Models):
    """A server whose REST interface works on one request at a time."""
    base = models.root / "line"
    options = Options(port=0, rest_port=0, model_base_path=base, rest_threads=1, model_name="line")
    with Server(options) as running:
        yield running


def _until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.005)


def test_s2_a_body_that_takes_long_to_parse_holds_up_neither_health_nor_grpc(narrow, monkeypatch):
    begun, go, parse = threading.Event(), threading.Event(), json_text.Parser.parse

    def slow(self):
        begun.set()
        assert go.wait(30)
        return parse(self)

    monkeypatch.setattr(json_text.Parser, "parse", slow)
    path, body = "/v1/models/line:predict", b'{"instances": [NaN, 2]}'
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_status, narrow.rest_port, "POST", path, body)
        try:
            assert begun.wait(20)
            assert _status(narrow.rest_port, "GET", "/livez", b"") == 200
            assert _status(narrow.rest_port, "GET", "/readyz", b"") == 200
            with Client(narrow.target, timeout=20) as client:
                assert client.predict("line", x=np.array([2.0], np.float32))["y"].tolist() == [7.0]
            assert not asked.done()
        finally:
            go.set()
        assert asked.result(20) == 200


def test_s14_a_caller_that_hangs_up_while_it_waits_is_not_worked_for(narrow):
    begun, go, bodies = threading.Event(), threading.Event(), []
    api = narrow._rest._api
    answer = api.answer

    def slow(method, path, body, *more):
        bodies.append(body)
        begun.set()
        assert go.wait(30)
        return answer(method, path, body, *more)

    api.answer = slow
    path, first, second = "/v1/models/line:predict", b'{"instances": [1]}', b'{"instances": [2]}'
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_status, narrow.rest_port, "POST", path, first)
        try:
            assert begun.wait(20)
            gone = http.client.HTTPConnection("127.0.0.1", narrow.rest_port, timeout=20)
            gone.request("POST", path, second)
            _until(lambda: narrow._rest._busy == 2)
            gone.close()
            _until(lambda: narrow._rest._busy == 1)
        finally:
            go.set()
        assert asked.result(20) == 200
    assert _status(narrow.rest_port, "POST", path, first) == 200
    assert bodies == [first, first]


_touched: list[tuple[str, object]] = []
_watched: list[int] = []


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if _watched and threading.get_ident() in _watched and event in ("open", "os.listdir", "os.scandir"):
        _touched.append((event, arguments[0]))


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "..%2f..%2fetc",
        "%2e%2e%2f",
        "..%5cx",
        "a/b",
        "a\0b",
        "%00",
        "x" * 10_240,
        "\u2024\u2024",
        "~root",
    ],
    ids=range(10),
)
def test_s13_names_and_labels_in_a_path_never_reach_the_file_system(rest_api, name):
    if not _watched:
        # A hook cannot be taken away again: it listens to the threads in the list alone.
        sys.addaudithook(_audit)
    _watched.append(threading.get_ident())
    try:
        for path in (name, f"line/labels/{name}", f"line/versions/{name}"):
            for method, end in (("POST", ":predict"), ("GET", ""), ("GET", "/metadata")):
                if end == "" and "/labels/" in path:
                    # The real server's status does not look at labels either.
                    continue
                reply = rest_api.answer(method, f"/v1/models/{path}{end}", b'{"instances": [1]}')
                assert reply.status in (400, 404), path[:80]
                assert set(json.loads(reply.body)) == {"error"}
    finally:
        _watched.clear()
    assert _touched == []
