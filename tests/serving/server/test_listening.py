"""Where and how the gRPC server listens: TLS, certificates that change, Unix sockets, channel arguments."""

import socket
import ssl
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest

from features.errors import ConfigError, UnavailableError
from flows import cli
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


def rest(server, trusted, leaf=None, path="/v1/models/line", folder=None):
    """Ask over HTTPS with a handshake of its own; give the status."""
    context = ssl.create_default_context(cadata=trusted.certificate.decode())
    if leaf is not None:
        (folder / "leaf.pem").write_bytes(leaf.key + leaf.certificate)
        context.load_cert_chain(folder / "leaf.pem")
    url = f"https://localhost:{server.rest_port}{path}"
    with urllib.request.urlopen(url, context=context, timeout=5) as answer:
        return answer.status


def test_rest_speaks_tls_with_the_same_certificates(models, authority, tmp_path):
    config = write_config(tmp_path / "ssl.config", authority.leaf("server", days=-1))
    with serve(models, ssl_config_file=config, rest_port=0) as server:
        with pytest.raises(urllib.error.URLError, match="certificate has expired"):
            rest(server, authority)
        write_config(config, authority.leaf("server"))
        assert rest(server, authority) == 200
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            rest(server, Authority("another"))
        config.write_text("server_key: broken")
        assert rest(server, authority) == 200
        with pytest.raises(OSError):
            urllib.request.urlopen(f"http://localhost:{server.rest_port}/livez", timeout=5)
        # Without a server name in the handshake.
        context = ssl.create_default_context(cadata=authority.certificate.decode())
        with (
            socket.create_connection(("127.0.0.1", server.rest_port), 5) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
        ):
            wrapped.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            assert wrapped.recv(100).startswith(b"HTTP/1.1 200")


def test_rest_asks_for_client_certificates_where_grpc_does(models, authority, tmp_path):
    config = write_config(tmp_path / "ssl.config", authority.leaf("server"), authority, verify=True)
    with serve(models, ssl_config_file=config, rest_port=0) as server:
        assert rest(server, authority, authority.leaf("me"), folder=tmp_path) == 200
        for leaf in (None, authority.leaf("old", days=-1), Authority("x").leaf("me")):
            with pytest.raises(OSError):
                rest(server, authority, leaf, folder=tmp_path)


def test_a_command_asks_over_tls(models, authority, tmp_path, capsys):
    config = write_config(tmp_path / "ssl.config", authority.leaf("server"))
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    (tmp_path / "other.pem").write_bytes(Authority("another").certificate)
    with serve(models, ssl_config_file=config) as server:
        for ca, code, words in (
            ("ca.pem", 0, "AVAILABLE"),
            ("other.pem", 69, "a certificate that is not trusted"),
            (None, 69, "Use TLS if the server does: --tls"),
        ):
            more = [] if ca is None else ["--ca", str(tmp_path / ca)]
            with pytest.raises(SystemExit) as left:
                cli.main(["status", "line", "--target", server.target, *more])
            told = capsys.readouterr()
            assert (left.value.code or 0, words in told.out + told.err) == (code, True), told
    with serve(models) as server:
        with pytest.raises(SystemExit) as left:
            cli.main(["status", "line", "--target", server.target, "--tls"])
        assert "an answer without TLS" in capsys.readouterr().err


def test_a_command_shows_its_certificate_to_a_server_that_requires_one(models, authority, tmp_path, capsys):
    config = write_config(tmp_path / "ssl.config", authority.leaf("server"), authority, verify=True)
    files = {"ca": authority.certificate}
    for name, leaf in (("me", authority.leaf("me")), ("foreign", Authority("x").leaf("me"))):
        files |= {f"{name}.cert": leaf.certificate, f"{name}.key": leaf.key}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)

    def ask(*command, leaf=None):
        own = [] if leaf is None else ["--cert", tmp_path / f"{leaf}.cert", "--key", tmp_path / f"{leaf}.key"]
        with pytest.raises(SystemExit) as left:
            cli.main([*map(str, (*command, "--target", server.target, "--ca", tmp_path / "ca", *own))])
        told = capsys.readouterr()
        return left.value.code or 0, told.out + told.err

    with serve(models, ssl_config_file=config) as server:
        code, words = ask("status", "line", leaf="me")
        assert (code, "AVAILABLE" in words) == (0, True), words
        code, words = ask("predict", "line", "--input", "x=2.0", leaf="me")
        assert (code, "7.0" in words) == (0, True), words
        for leaf in (None, "foreign"):
            code, words = ask("status", "line", leaf=leaf)
            assert (code, "--cert" in words) == (69, True), words


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
