"""The page over a real port: what it may load, and who gets it."""

import base64
import hashlib
import http.client
import json
import re
import socket
from collections.abc import Iterator

import pytest

from features.errors import UsageError
from serving.config import Options
from serving.rest.callers import is_foreign
from serving.rest.page import document
from serving.server import flags
from serving.server.server import Server

QUESTION = b'{"instances": [2.0]}'


def call(server: Server, method: str, path: str, body: bytes | None = None, **headers: str):
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=30)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


def serving(models, **options) -> Server:
    return Server(Options(port=0, rest_port=0, model_base_path=models.root / "line", **options))


@pytest.fixture(scope="module")
def server(models) -> Iterator[Server]:
    with serving(models) as running:
        yield running


@pytest.fixture(scope="module")
def open_server(models) -> Iterator[Server]:
    with serving(models, rest_cors=True) as running:
        yield running


def test_it_is_one_small_file_that_loads_nothing_from_elsewhere() -> None:
    for page in (document.served(), document.alone()):
        assert len(page) <= 60_000
        text = page.decode()
        assert re.findall(r"<(?:link|img|script|iframe|object)\b[^>]*>", text) == [
            '<link rel="icon" href="data:,">',
            '<script type="module">',
        ]
        addresses = set(re.findall(r"https?://[\w.]+", text))
        assert addresses <= {"http://www.w3.org", "http://localhost"}
        assert not re.search(r"@import|url\(|\beval\b|innerHTML|new Function", text)


def test_its_policy_allows_its_own_style_and_script_alone(server) -> None:
    status, body, headers = call(server, "GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", body.decode(), re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert policy.pop(f"{tag}-src") == f"'sha256-{digest}'"
    assert policy == {
        "default-src": "'none'",
        "img-src": "data: blob:",
        "media-src": "blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert headers["X-Frame-Options"] == "DENY"


def test_the_models_are_listed_with_their_labels(models, tmp_path) -> None:
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "halves" base_path: "{models.root / "line"}" '
        'model_platform: "tensorflow" version_labels { key: "stable" value: 3 } } }'
    )
    with Server(
        Options(port=0, rest_port=0, model_config_file=config, labels_for_unavailable=True)
    ) as server:
        status, body, _ = call(server, "GET", "/models.json")
    assert status == 200
    assert json.loads(body) == {"models": [{"name": "halves", "labels": {"stable": 3}}]}


PATHS = [
    ("GET", "/", None),
    ("GET", "/models.json", None),
    ("GET", "/v1/models/default", None),
    ("GET", "/v1/models/default/metadata", None),
    ("POST", "/v1/models/default:predict", QUESTION),
    ("GET", "/readyz", None),
]


@pytest.mark.parametrize(("method", "path", "body"), PATHS)
def test_a_foreign_host_or_origin_gets_no_page_and_no_answer(server, method, path, body) -> None:
    port = server.rest_port
    for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example", "127.0.0.1.evil.example"):
        assert call(server, method, path, body, Host=host)[0] == 403
        # A rebound name is its own origin.
        assert call(server, method, path, body, Host=host, Origin=f"http://{host}")[0] == 403
    for origin in (
        "http://evil.example",
        "null",
        f"https://127.0.0.1:{port + 1}",
        "http://127.0.0.1",
        "x",
        "http://[",
    ):
        status, answer, headers = call(server, method, path, body, Origin=origin)
        assert status == 403
        assert b"--rest_api_enable_cors_support" in answer
        assert "Access-Control-Allow-Origin" not in headers
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"):
        assert call(server, method, path, body, Host=host, Origin=f"http://{host}")[0] == 200
    assert call(server, method, path, body)[0] == 200


@pytest.mark.parametrize(("method", "path", "body"), PATHS[1:5])
def test_the_cors_flag_lets_other_origins_ask_but_no_other_host(open_server, method, path, body) -> None:
    status, _, headers = call(open_server, method, path, body, Origin="null")
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, "*")
    assert call(open_server, method, path, body, Host="evil.example")[0] == 403


def test_origins_are_compared_with_their_usual_ports() -> None:
    assert not is_foreign("", "a.example")
    assert not is_foreign("http://a.example", "a.example")
    assert not is_foreign("https://a.example", "a.example:443")
    assert not is_foreign("http://A.example:8501", "a.example:8501")
    assert is_foreign("http://a.example", "a.example:8501")
    assert is_foreign("http://a.example.evil", "a.example")
    assert is_foreign("null", "")


def test_beyond_loopback_it_is_off_unless_asked_for(models) -> None:
    with serving(models, host="0.0.0.0", insecure_listen=True) as server:
        for path in ("/", "/models.json"):
            status, body, _ = call(server, "GET", path)
            assert (status, b"--rest_api_page=network" in body) == (404, True)
        # The API is answered as TensorFlow Serving does, by whatever name it is reached; not to other sites.
        path = "/v1/models/default:predict"
        assert call(server, "POST", path, QUESTION, Host="models.example")[0] == 200
        assert call(server, "POST", path, QUESTION, Host="a.example", Origin="http://b.example")[0] == 403


def test_on_the_network_it_is_served_by_the_names_of_the_machine_alone(models) -> None:
    with serving(models, host="0.0.0.0", insecure_listen=True, rest_page="network") as server:
        for path in ("/", "/models.json"):
            assert call(server, "GET", path, Host="192.0.2.1:8501")[0] == 200
            assert call(server, "GET", path, Host=f"{socket.gethostname()}:8501")[0] == 200
            assert call(server, "GET", path, Host="evil.example")[0] == 403


def test_it_can_be_off(models) -> None:
    with serving(models, rest_page="off") as server:
        assert call(server, "GET", "/")[0] == 404
        assert call(server, "GET", "/v1/models/default")[0] == 200


def test_other_methods_and_paths_are_not_its_own(server) -> None:
    assert call(server, "HEAD", "/")[0] == 200
    assert call(server, "POST", "/", b"{}")[0] == 404
    assert call(server, "GET", "/index.html")[0] == 404
    assert call(server, "GET", "/?server=http://evil.example")[0] == 200


def test_the_flag_takes_three_values(models) -> None:
    base = f"--model_base_path={models.root / 'line'}"
    assert flags.parse([base]).options.rest_page == "loopback"
    assert flags.parse([base, "--rest_api_page=network"]).options.rest_page == "network"
    with pytest.raises(UsageError, match="rest_api_page"):
        flags.parse([base, "--rest_api_page=everywhere"])
