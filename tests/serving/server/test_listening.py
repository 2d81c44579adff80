"""Where and how the gRPC server listens: TLS, certificates that change, Unix sockets, channel arguments."""

import socket

import grpc
import numpy as np
import pytest

from features.errors import ConfigError, UnavailableError
from serving import errors
from serving.client.client import Client
from serving.config import Options
from serving.server.server import Server
from tests.serving.certificates import Authority, Leaf

X = np.array([2.0], np.float32)


@pytest.fixture(scope="module")
def authority():
    return Authority("test authority")


def write_config(path, leaf: Leaf, authority: Authority | None = None, verify: bool = False):
    lines = [("server_key", leaf.key), ("server_cert", leaf.certificate)]
    lines += [("custom_ca", authority.certificate)] if authority else []
    text = "".join(f"{name}: {_quoted(value)}\n" for name, value in lines)
    path.write_text(text + f"client_verify: {str(verify).lower()}\n")
    return path


def _quoted(value: bytes) -> str:
    return '"' + value.decode().replace("\n", "\\n") + '"'


def serve(models, **settings) -> Server:
    return Server(Options(port=0, model_name="line", model_base_path=models.root / "line", **settings))


def test_s11_tls_answers_who_trusts_the_authority_and_nobody_else(models, authority, tmp_path):
    config = write_config(tmp_path / "ssl.config", authority.leaf("server"))
    with serve(models, ssl_config_file=config) as server:
        with Client(server.target, root_certificates=authority.certificate) as client:
            assert client.predict("line", x=X)["y"] == [7.0]
        stranger = Authority("another").certificate
        with (
            Client(server.target, root_certificates=stranger, timeout=2) as client,
            pytest.raises(UnavailableError),
        ):
            client.predict("line", x=X)
        with Client(server.target, timeout=2, retries=0) as client, pytest.raises(UnavailableError):
            client.predict("line", x=X)


def test_s11_client_certificates_are_asked_for_and_checked(models, authority, tmp_path):
    config = write_config(tmp_path / "ssl.config", authority.leaf("server"), authority, verify=True)
    good, expired, foreign = authority.leaf("me"), authority.leaf("old", days=-1), Authority("x").leaf("me")

    def ask(server, leaf):
        pair = (None, None) if leaf is None else (leaf.key, leaf.certificate)
        settings = {
            "root_certificates": authority.certificate,
            "private_key": pair[0],
            "certificate": pair[1],
        }
        with Client(server.target, timeout=2, retries=0, **settings) as client:
            return client.predict("line", x=X)["y"]

    with serve(models, ssl_config_file=config) as server:
        assert ask(server, good) == [7.0]
        for leaf in (None, expired, foreign):
            with pytest.raises(UnavailableError):
                ask(server, leaf)


def test_s11_an_expired_server_certificate_is_refused_and_a_new_one_taken_over_without_a_restart(
    models, authority, tmp_path
):
    config = write_config(tmp_path / "ssl.config", authority.leaf("server", days=-1))
    with serve(models, ssl_config_file=config) as server:

        def ask():
            # A channel of its own: each client makes a new handshake.
            options = [("grpc.use_local_subchannel_pool", 1)]
            credentials = grpc.ssl_channel_credentials(authority.certificate)
            with grpc.secure_channel(server.target, credentials, options) as channel:
                return Client("test", timeout=2, retries=0, channel=channel).predict("line", x=X)["y"]

        with pytest.raises(UnavailableError):
            ask()
        write_config(config, authority.leaf("server"))
        assert ask() == [7.0]
        config.write_text("server_key: broken")
        assert ask() == [7.0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no server_key or no server_cert"),
        ("nonsense", "Invalid protobuf file"),
        ('server_key: "k" server_cert: "c" client_verify: true', "no custom_ca"),
    ],
)
def test_a_tls_configuration_that_cannot_work_is_refused_at_the_start(models, tmp_path, text, words):
    file = tmp_path / "ssl.config"
    file.write_text(text)
    with pytest.raises(errors.InvalidArgument, match=words):
        serve(models, ssl_config_file=file)


def test_a_unix_socket_answers_beside_the_port_and_a_stale_one_is_replaced(models, tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with serve(models, grpc_socket_path=path) as server:
        for target in (f"unix:{path}", server.target):
            with Client(target) as client:
                assert client.predict("line", x=X)["y"] == [7.0]


def test_channel_arguments_reach_the_server(models):
    arguments = (("grpc.max_concurrent_streams", 1), ("grpc.max_receive_message_length", 1000))
    with serve(models, grpc_channel_arguments=arguments) as server, Client(server.target) as client:
        assert client.predict("line", x=X)["y"] == [7.0]
        with pytest.raises(errors.ResourceExhausted):
            client.predict("line", x=np.zeros(1000, np.float32))


def test_an_open_address_needs_to_be_allowed(models):
    with pytest.raises(ConfigError, match="insecure_listen"):
        serve(models, host="0.0.0.0")
    with (
        serve(models, host="0.0.0.0", insecure_listen=True) as server,
        Client(f"127.0.0.1:{server.port}") as client,
    ):
        assert client.predict("line", x=X)["y"] == [7.0]
