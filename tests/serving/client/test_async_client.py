"""The client for asyncio, and what both clients share: retries, token, listing models."""

import asyncio
import inspect
import socket
import threading

import grpc
import numpy as np
import pytest

from features.errors import ConfigError, UnavailableError, UsageError
from serving import errors
from serving.client import example_requests, requests
from serving.client.async_client import AsyncClient
from serving.client.client import Client, Model, VersionStatus
from serving.client.connection import Connection
from serving.client.example_requests import Class
from serving.config import Options
from serving.server.server import Server

X = np.array([2.0], np.float32)


def test_it_does_what_the_other_client_does(server, client):
    async def ask():
        async with AsyncClient(server.target) as asked:
            return (
                await asked.predict("line", x=[2]),
                await asked.predict("line", {"x": X}, version=2),
                await asked.predict("zoo", a=[[1, 2]], b=[3], c=["é"]),
                await asked.status("line"),
                await asked.metadata("zoo"),
                await asked.models(),
            )

    newest, older, zoo, status, metadata, models = asyncio.run(ask())
    assert newest["y"].tolist() == [7.0]
    assert (older.version, older["y"].tolist()) == (2, [5.0])
    assert zoo["same"].tolist() == ["é".encode()]
    assert status == client.status("line")
    assert metadata == client.metadata("zoo")
    assert models == client.models()


def test_many_calls_go_on_at_once(server):
    async def ask():
        async with AsyncClient(server.target) as asked:
            calls = [asked.predict("line", x=np.array([i], np.float32)) for i in range(64)]
            return [answer["y"][0] for answer in await asyncio.gather(*calls)]

    assert asyncio.run(ask()) == [i / 2 + 6 for i in range(64)]


def test_its_errors_are_the_same(server):
    async def ask(target, **settings):
        async with AsyncClient(target, timeout=5, retries=0) as asked:
            await asked.predict("nobody", x=X, **settings)

    with pytest.raises(
        errors.NotFound, match=r"model nobody: Servable not found for request: Latest\(nobody\)"
    ):
        asyncio.run(ask(server.target))
    with pytest.raises(UsageError, match="a version and a label"):
        asyncio.run(ask(server.target, version=1, label="x"))
    with pytest.raises(UnavailableError, match="no model server at"):
        asyncio.run(ask("127.0.0.1:9"))


def test_a_channel_can_be_given(server):
    async def ask():
        async with (
            grpc.aio.insecure_channel(server.target) as channel,
            AsyncClient("x", channel=channel) as asked,
        ):
            return await asked.predict("line", x=X)

    assert asyncio.run(ask())["y"].tolist() == [7.0]


def test_models_are_listed_with_their_versions(client):
    models = {model.name: model for model in client.models()}
    assert sorted(models) == ["classic", "identities", "line", "zoo"]
    assert models["line"] == Model("line", (VersionStatus(3, "AVAILABLE"), VersionStatus(2, "AVAILABLE")))
    assert models["line"].available == (3, 2)


def test_a_server_that_lists_no_models_is_told_so():
    from concurrent.futures import ThreadPoolExecutor

    bare = grpc.server(ThreadPoolExecutor(1))
    port = bare.add_insecure_port("127.0.0.1:0")
    bare.start()
    with (
        Client(f"127.0.0.1:{port}") as client,
        pytest.raises(errors.Unimplemented, match="does not list its models"),
    ):
        client.models()
    bare.stop(0)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_a_call_waits_for_a_server_that_is_just_starting(models):
    port = free_port()
    made = Server(Options(port=port, model_name="line", model_base_path=models.root / "line"))
    starter = threading.Timer(0.3, made.start)
    starter.start()
    try:
        with Client(f"127.0.0.1:{port}", retries=4) as client:
            assert client.predict("line", x=X)["y"] == [7.0]
    finally:
        starter.join()
        made.stop()


def test_retries_end_with_the_deadline():
    with (
        Client(f"127.0.0.1:{free_port()}", timeout=0.3, retries=4) as client,
        pytest.raises((UnavailableError, errors.DeadlineExceeded)),
    ):
        client.predict("line", x=X)


def test_a_ragged_list_is_refused_before_it_travels(client):
    with pytest.raises(UsageError, match="an input is not an array"):
        client.predict("line", x=[[1, 2], [3]])


class _Seen(grpc.ServerInterceptor):
    def __init__(self) -> None:
        self.metadata: list[dict[str, str]] = []

    def intercept_service(self, continuation, details):
        self.metadata.append(dict(details.invocation_metadata))
        return continuation(details)


def test_the_token_goes_with_every_call():
    from concurrent.futures import ThreadPoolExecutor

    seen = _Seen()
    bare = grpc.server(ThreadPoolExecutor(1), interceptors=[seen])
    port = bare.add_insecure_port("127.0.0.1:0")
    bare.start()
    with Client(f"127.0.0.1:{port}", token="s3cret") as client:
        assert "s3cret" not in repr(client.connection)
        for call in (client.models, lambda: client.status("m"), lambda: client.predict("m", x=X)):
            with pytest.raises(errors.Unimplemented):
                call()
    bare.stop(0)
    assert [one["authorization"] for one in seen.metadata] == ["Bearer s3cret"] * 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"target": "example.com:8500", "token": "s3cret"}, "unencrypted"),
        ({"target": "h:1", "retries": 9}, "retries out of range; got 9; expected 0 to 4"),
        ({"target": "h:1", "certificate": b"x"}, "needs a certificate and a private key"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words) as caught:
        Connection(**settings).check()
    assert "s3cret" not in str(caught.value)


EXAMPLES = [{"x": [2.0]}, {"x": np.array([-8.0], np.float32)}]


def test_classify_and_regress_answer_alike_in_both_clients(server, client):
    # Version 1 of the model: y = x / 2 + 2, scores -y and y.
    want = [(Class("below", -3.0), Class("above", 3.0)), (Class("below", 2.0), Class("above", -2.0))]
    assert client.classify("classic", EXAMPLES, signature="classify_sign", version=1) == want
    assert client.regress("classic", EXAMPLES, signature="regress_x_to_y", version=1).tolist() == [3.0, -2.0]

    async def ask():
        async with AsyncClient(server.target) as asked:
            return (
                await asked.classify("classic", EXAMPLES, signature="classify_sign", version=1),
                await asked.regress(
                    "classic", [{}, {}], context={"x": 2.0}, signature="regress_x_to_y", version=1
                ),
            )

    classes, values = asyncio.run(ask())
    assert classes == want
    assert (values.dtype, values.tolist()) == (np.float32, [3.0, 3.0])


def test_classify_and_regress_carry_the_servers_words(client):
    with pytest.raises(errors.InvalidArgument, match="Input is empty"):
        client.regress("classic", [], signature="regress_x_to_y")
    for value in ([1, "a"], [[1.0], [2.0]], [[1], [2, 3]], {"a": 1}, 2**63, 2**64):
        with pytest.raises(UsageError, match="feature x"):
            client.classify("classic", [{"x": value}])


@pytest.mark.parametrize(
    ("value", "kind", "want"),
    [
        (3, "int64_list", [3]),
        (True, "int64_list", [1]),
        ("é", "bytes_list", ["é".encode()]),
        ([b"\0", "a"], "bytes_list", [b"\0", b"a"]),
        (np.array([[1, 2], [3, 4]], np.uint8), "int64_list", [1, 2, 3, 4]),
        (0.5, "float_list", [0.5]),
    ],
)
def test_features_take_the_kind_of_their_values(value, kind, want):
    request = example_requests.classify(requests.spec("m", None, None), None, [{"x": value}], None)
    feature = request.input.example_list.examples[0].features.feature["x"]
    assert feature.WhichOneof("kind") == kind
    assert list(getattr(feature, kind).value) == want


def test_both_clients_have_the_same_calls():
    def calls(client):
        public = {name: getattr(client, name) for name in vars(client) if not name.startswith("_")}
        return {name: str(inspect.signature(call)) for name, call in public.items()}

    assert calls(AsyncClient) == calls(Client)
    assert calls(Client).keys() >= {"classify", "metadata", "models", "predict", "regress", "status"}
