"""Who is let in: calls of gRPC and routes of REST, each with a rule; tokens, TLS, and addresses to bind."""

import http.client
import json
import logging
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest

from features.errors import ConfigError, NoInputError
from flows import cli
from serving.client.client import Client
from serving.config import Options
from serving.errors import Unauthenticated
from serving.rest.routes import Route
from serving.server.admission import OPEN
from serving.server.server import Server, _check_callers
from serving.tokens import Tokens
from tests.serving.certificates import Authority
from tests.serving.server.test_listening import write_config

TOKEN, OTHER = "0123456789abcdef-first", "0123456789abcdef-other"
X = np.array([2.0], np.float32)
PREDICTION, MODEL = "/tensorflow.serving.PredictionService", "/tensorflow.serving.ModelService"

#: Every call that the server answers, and whether it does without a token. A new one needs a line here.
CALLS = {
    f"{PREDICTION}/Predict": False,
    f"{PREDICTION}/Classify": False,
    f"{PREDICTION}/Regress": False,
    f"{PREDICTION}/MultiInference": False,
    f"{PREDICTION}/GetModelMetadata": False,
    f"{MODEL}/GetModelStatus": False,
    f"{MODEL}/HandleReloadConfigRequest": False,
    "/servable.Models/List": False,
    "/tensorflow.ProfilerService/Profile": False,
    "/tensorflow.ProfilerService/Terminate": False,
    "/tensorflow.ProfilerService/Monitor": False,
    "/grpc.health.v1.Health/Check": True,
    "/grpc.health.v1.Health/List": False,
    "/grpc.health.v1.Health/Watch": False,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": False,
}

#: Requests of every route with their status: without a token, and with one. A new route needs a line here.
ROUTES = {
    Route.LIVE: [("GET", "/livez", 200, 200)],
    Route.READY: [("GET", "/readyz", 200, 200)],
    Route.PREFLIGHT: [("OPTIONS", "/v1/models/line", 200, 200)],
    Route.METRICS: [("GET", "/monitoring/prometheus/metrics", 401, 200)],
    Route.PAGE: [("GET", "/", 401, 200), ("HEAD", "/", 401, 200)],
    Route.LIST: [("GET", "/models.json", 401, 200)],
    Route.API: [
        ("GET", "/v1/models/line", 401, 200),
        ("GET", "/v1/models/line/versions/3/metadata", 401, 200),
        ("POST", "/v1/models/line:predict", 401, 200),
        ("POST", "/v1/models/line:classify", 401, 400),
        ("POST", "/v1/models/line:regress", 401, 400),
        ("DELETE", "/v1/models/line", 401, 400),
    ],
    None: [("GET", "/anything", 401, 404), ("POST", "/", 401, 404), ("POST", "//livez", 401, 404)],
}
REQUESTS = [request for requests in ROUTES.values() for request in requests]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doors")
    (folder / "tokens").write_text(f"# the clients\n{TOKEN}\n\n{OTHER}\n")
    (folder / "monitoring").write_text("prometheus_config { enable: true }")
    return folder


@pytest.fixture(scope="module")
def options(models, folder: Path) -> Options:
    return Options(
        port=0,
        rest_port=0,
        model_name="line",
        model_base_path=models.root / "line",
        token_file=folder / "tokens",
        monitoring_config_file=folder / "monitoring",
    )


@pytest.fixture(scope="module")
def guarded(options: Options) -> Iterator[Server]:
    with Server(options) as server:
        yield server


@pytest.fixture(scope="module")
def channel(guarded: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(guarded.target) as made:
        yield made


def first(channel: grpc.Channel, method: str, *headers: str) -> tuple[grpc.StatusCode, str]:
    """Call a method of any kind with an empty message; return the status of its first answer."""
    metadata = [("authorization", header) for header in headers]
    call = channel.stream_stream(method)(iter([b""]), metadata=metadata, timeout=20)
    try:
        next(call)
        call.cancel()
    except StopIteration:
        pass
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


def test_every_call_has_a_rule(guarded: Server) -> None:
    state = guarded._grpc._server._state
    served = set(state.registered_method_handlers or ())
    for handler in state.generic_handlers:
        served |= set(handler._method_handlers)
    assert served == set(CALLS)
    assert {method for method, is_open in CALLS.items() if is_open} == OPEN


@pytest.mark.parametrize("method", [*CALLS, "/anything/Else"])
def test_a_call_is_answered_with_a_token_alone_unless_it_is_open(channel: grpc.Channel, method: str) -> None:
    refused = grpc.StatusCode.UNAUTHENTICATED
    for headers in ([], ["Bearer wrong"], [TOKEN], [f"Basic {TOKEN}"], [f"Bearer {TOKEN}"] * 2):
        code, words = first(channel, method, *headers)
        assert (code is refused) is (not CALLS.get(method, False)), headers
        assert code is not refused or "requires a valid token" in words
    for header in (f"Bearer {TOKEN}", f"bearer  {OTHER} "):
        assert first(channel, method, header)[0] is not refused


def ask(
    server: Server, method: str, path: str, *tokens: str, context: ssl.SSLContext | None = None
) -> tuple[int, bytes, dict[str, str]]:
    """Ask over HTTP; return status, body and headers."""
    port = server.rest_port
    connection = (
        http.client.HTTPConnection("localhost", port, timeout=20)
        if context is None
        else http.client.HTTPSConnection("localhost", port, timeout=20, context=context)
    )
    connection.putrequest(method, path)
    for token in tokens:
        connection.putheader("Authorization", f"Bearer {token}")
    body = b'{"instances": [2.0]}' if method == "POST" else b""
    connection.putheader("Content-Length", str(len(body)))
    if method == "OPTIONS":
        connection.putheader("Origin", "http://example.org")
    connection.endheaders(body)
    answer = connection.getresponse()
    found = answer.status, answer.read(), dict(answer.headers)
    connection.close()
    return found


def test_every_route_has_a_rule(guarded: Server) -> None:
    assert guarded._rest is not None
    assert set(guarded._rest._api._routes) == set(Route) == set(ROUTES) - {None}
    without = {route for route, requests in ROUTES.items() if all(request[2] != 401 for request in requests)}
    assert without == {route for route in Route if route.is_open}


@pytest.mark.parametrize(("method", "path", "without", "with_one"), REQUESTS)
def test_a_route_is_answered_with_a_token_alone_unless_it_is_open(
    guarded: Server, method: str, path: str, without: int, with_one: int
) -> None:
    for tokens in ((), ("wrong",), (TOKEN, TOKEN)):
        status, body, headers = ask(guarded, method, path, *tokens)
        assert status == without
        if status == 401:
            assert headers["WWW-Authenticate"] == "Bearer"
            assert method == "HEAD" or "requires a valid token" in json.loads(body)["error"]
    assert [ask(guarded, method, path, token)[0] for token in (TOKEN, OTHER)] == [with_one] * 2


def test_the_body_of_a_request_without_a_token_is_not_waited_for(guarded: Server) -> None:
    connection = http.client.HTTPConnection("localhost", guarded.rest_port, timeout=20)
    connection.putrequest("POST", "/v1/models/line:predict")
    connection.putheader("Content-Length", str(1 << 25))
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()


def test_clients_send_the_token_and_are_told_where_it_is_missing(
    guarded: Server, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(guarded.target, token=TOKEN) as client:
        assert client.predict("line", x=X)["y"] == [7.0]
        assert [model.name for model in client.models()] == ["line"]
    with Client(guarded.target) as client, pytest.raises(Unauthenticated, match="--token-file"):
        client.predict("line", x=X)
    (folder / "token").write_text(OTHER)
    for more, code, words in ((["--token-file", str(folder / "token")], 0, "AVAILABLE"), ([], 77, "token")):
        with pytest.raises(SystemExit) as left:
            cli.main(["status", "line", "--target", guarded.target, *more])
        shown = capsys.readouterr()
        assert (left.value.code or 0, words in shown.out + shown.err) == (code, True), shown


def test_tls_client_certificate_and_token_are_all_required_at_both_doors(
    options: Options, tmp_path: Path
) -> None:
    authority = Authority("test authority")
    config = write_config(tmp_path / "ssl.config", authority.leaf("server"), authority, verify=True)
    leaf = authority.leaf("me")
    (tmp_path / "leaf.pem").write_bytes(leaf.key + leaf.certificate)
    context = ssl.create_default_context(cadata=authority.certificate.decode())
    context.load_cert_chain(tmp_path / "leaf.pem")
    settings = {
        "root_certificates": authority.certificate,
        "private_key": leaf.key,
        "certificate": leaf.certificate,
    }
    # Every address of the machine, which only both together allow.
    with Server(replace(options, host="0.0.0.0", ssl_config_file=config)) as server:
        target = f"localhost:{server.port}"
        with Client(target, token=TOKEN, **settings) as client:
            assert client.predict("line", x=X)["y"] == [7.0]
        with Client(target, **settings) as client, pytest.raises(Unauthenticated):
            client.predict("line", x=X)
        path = "/v1/models/line:predict"
        assert json.loads(ask(server, "POST", path, TOKEN, context=context)[1]) == {"predictions": [7.0]}
        assert ask(server, "POST", path, context=context)[0] == 401
        with pytest.raises(OSError):
            ask(server, "POST", path, TOKEN, context=ssl.create_default_context())


def test_an_address_on_the_network_needs_encryption_and_a_way_to_tell_callers_apart(
    options: Options, tmp_path: Path
) -> None:
    authority = Authority("test authority")
    leaf = authority.leaf("server")
    plain = write_config(tmp_path / "ssl.config", leaf)
    mutual = write_config(tmp_path / "mutual.config", leaf, authority, verify=True)
    token = options.token_file
    for host, ssl_file, token_file, insecure, allowed in (
        ("127.0.0.1", None, None, False, True),
        ("0.0.0.0", None, None, False, False),
        ("0.0.0.0", None, token, False, False),
        ("0.0.0.0", plain, None, False, False),
        ("0.0.0.0", plain, token, False, True),
        ("::", mutual, None, False, True),
        ("0.0.0.0", None, None, True, True),
    ):
        given = replace(
            options, host=host, ssl_config_file=ssl_file, token_file=token_file, insecure_listen=insecure
        )
        if allowed:
            given.check()
            _check_callers(given)
        else:
            with pytest.raises(ConfigError, match=r"without authentication.*--token_file.*--insecure_listen"):
                Server(given)


def test_tokens_are_read_again_when_the_file_changes_and_never_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "tokens"
    file.write_text(TOKEN)
    tokens = Tokens(file)
    assert [tokens.admit(f"Bearer {token}") for token in (TOKEN, OTHER)] == [True, False]
    file.write_text(f"{OTHER}\n# the new one\n")
    assert [tokens.admit(f"Bearer {token}".encode()) for token in (TOKEN, OTHER)] == [False, True]
    caplog.set_level(logging.DEBUG)
    for broken in ("", f"{TOKEN} and more"):
        file.write_text(broken)
        assert [tokens.admit(f"Bearer {token}") for token in (TOKEN, OTHER)] == [False, True]
    file.unlink()
    assert tokens.admit(f"Bearer {OTHER}")
    assert "cannot reload the tokens" in caplog.text
    assert TOKEN not in caplog.text
    assert not any(OTHER in f"{value!r}" for value in vars(tokens).values())
    assert not any(map(tokens.admit, (None, "", "Bearer", "Bearer ", b"\xff", OTHER)))


@pytest.mark.parametrize(
    "text", ["", "\n# nothing\n", "short", "with a blank inside it", "ünprintable-letters-"]
)
def test_a_file_without_a_usable_token_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        Tokens(file)
    assert not text.strip() or text not in str(refused.value)
    with pytest.raises(NoInputError, match="No such file"):
        Tokens(tmp_path / "missing")
