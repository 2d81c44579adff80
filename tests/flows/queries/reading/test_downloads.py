"""Downloads from a real server on loopback: limits, redirects, addresses that are not public."""

import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from features.errors import AccessError, DataError, NoInputError, ServableError, UsageError
from features.ingest.rules import ExampleRules
from flows.queries.reading import downloads
from flows.queries.reading.downloads import Limits, fetch, is_public
from tests.serving.certificates import Authority

OPEN = Limits(seconds=5, most=1000, private=True)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the path."""

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Host"]))
        answer: Callable[[], None] = getattr(self, f"on_{self.path[1:].partition('/')[0].partition('?')[0]}")
        answer()

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def on_photo(self) -> None:
        self.reply(200, b"photo")

    def on_missing(self) -> None:
        self.reply(404)

    def on_large(self) -> None:
        self.reply(200, b"x" * 1001)

    def on_unsized(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" * 1001)

    def on_short(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"x" * 10)

    def on_packed(self) -> None:
        self.reply(200, b"x", Content_Encoding="gzip")

    def on_slow(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.drip()

    def on_slowhead(self) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\n")
        self.drip(b"X: y\r\n")

    def drip(self, part: bytes = b"x") -> None:
        try:
            while not self.server.ended.wait(0.05):
                self.wfile.write(part)
                self.wfile.flush()
        except OSError:
            return

    def on_loop(self) -> None:
        self.reply(302, Location="/loop")

    def on_moved(self) -> None:
        self.reply(301, Location="/photo")

    def on_away(self) -> None:
        self.reply(302, Location=f"http://elsewhere.test:{self.server.server_port}/photo")

    def on_file(self) -> None:
        self.reply(302, Location="file:///etc/passwd")

    def on_down(self) -> None:
        self.reply(302, Location=f"http://127.0.0.1:{self.server.server_port}/photo")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def running(context: ssl.SSLContext | None = None) -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.ended = [], threading.Event()
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    with running() as started:
        yield started


def url(server: http.server.ThreadingHTTPServer, path: str, host: str = "127.0.0.1") -> str:
    return f"http://{host}:{server.server_port}/{path}"


def test_what_a_url_leads_to_comes_back(server: http.server.ThreadingHTTPServer) -> None:
    assert fetch(url(server, "photo"), OPEN) == b"photo"
    assert fetch(url(server, "moved"), OPEN) == b"photo"
    assert fetch(url(server, "photo/a b?c=d e".replace(" ", "%20")), OPEN) == b"photo"
    assert server.asked[-1][0] == "/photo/a%20b?c=d%20e"
    assert ExampleRules().max_file_bytes == downloads.MAX_BYTES


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("missing", NoInputError, "404 Not Found"),
        ("large", DataError, "is too large; expected at most 1,000 bytes"),
        ("unsized", DataError, "is too large"),
        ("short", DataError, "ends early; got 10 bytes"),
        ("packed", DataError, "the encoding gzip"),
        ("loop", NoInputError, "more than 5 redirects"),
        ("file", UsageError, "file:///etc/passwd"),
    ],
)
def test_what_cannot_be_used_is_refused(
    server: http.server.ThreadingHTTPServer, path: str, kind: type[ServableError], words: str
) -> None:
    with pytest.raises(kind, match=words) as error:
        fetch(url(server, path), OPEN)
    assert type(error.value) is kind


@pytest.mark.parametrize("path", ["slow", "slowhead"])
def test_an_answer_that_trickles_ends_in_time(server: http.server.ThreadingHTTPServer, path: str) -> None:
    with pytest.raises(DataError, match=r"takes too long; expected at most 0\.5 s"):
        fetch(url(server, path), Limits(seconds=0.5, private=True))


def test_a_host_that_never_answers_ends_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for scheme in ("http", "https"):
            with pytest.raises(DataError, match="takes too long"):
                fetch(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/x", Limits(seconds=0.3, private=True))
        port = silent.getsockname()[1]
    with pytest.raises(NoInputError, match="Connection refused"):
        fetch(f"http://127.0.0.1:{port}/x", OPEN)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "169.254.169.254",
    ],
)
def test_addresses_that_are_not_public_are_refused_unless_allowed(
    server: http.server.ThreadingHTTPServer, host: str
) -> None:
    before = len(server.asked)
    with pytest.raises(AccessError, match=r"not on the public internet; got .*--allow-private-addresses"):
        fetch(url(server, "photo", host), Limits())
    assert len(server.asked) == before


def test_a_redirect_is_checked_like_the_url(
    server: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first host passes for public; where it leads to is not."""
    monkeypatch.setattr(downloads, "is_public", lambda address: address == "127.0.0.1")
    resolve(monkeypatch, {"elsewhere.test": ["127.0.0.2"]})
    with pytest.raises(AccessError, match=r"elsewhere\.test at 127\.0\.0\.2"):
        fetch(url(server, "away"), Limits())


def resolve(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> list[str]:
    """Give names addresses, one at each lookup; return the names that are looked up."""
    looked, real = [], socket.getaddrinfo

    def found(host, port, *args, **kwargs):
        if host not in names:
            return real(host, port, *args, **kwargs)
        looked.append(host)
        return real(names[host].pop(0), port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    return looked


def test_the_address_that_was_checked_is_connected_to(
    server: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that resolves to another address the second time is not resolved a second time."""
    looked = resolve(monkeypatch, {"rebinding.test": ["127.0.0.1", "192.0.2.1"]})
    assert fetch(url(server, "photo", "rebinding.test"), OPEN) == b"photo"
    assert looked == ["rebinding.test"]
    assert server.asked[-1][1] == f"rebinding.test:{server.server_port}"


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 80)) for a in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: entries)
    with pytest.raises(AccessError, match=r"10\.0\.0\.1"):
        fetch("http://both.test/x", Limits())


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("10.1.2.3", False), ("172.16.0.1", False),
        ("192.168.1.1", False), ("100.64.0.1", False), ("169.254.0.1", False), ("224.0.0.1", False),
        ("fe80::1%eth0", False), ("fd00::1", False), ("::", False), ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False), ("64:ff9b::808:808", True), ("255.255.255.255", False),
    ],
)  # fmt: skip
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_tls_is_checked_against_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority("test authority")
    leaf = authority.leaf("server")
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    (tmp_path / "chain.pem").write_bytes(leaf.key + leaf.certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "chain.pem")
    with running(context) as server:
        port = server.server_port
        with pytest.raises(NoInputError, match=r"TLS: CERTIFICATE_VERIFY_FAILED"):
            fetch(f"https://localhost:{port}/photo", OPEN)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert fetch(f"https://localhost:{port}/photo", OPEN) == b"photo"
        resolve(monkeypatch, {"other.test": ["127.0.0.1"]})
        with pytest.raises(NoInputError, match="TLS: CERTIFICATE_VERIFY_FAILED"):
            fetch(f"https://other.test:{port}/photo", OPEN)
        with pytest.raises(AccessError, match="a redirect from https to http"):
            fetch(f"https://localhost:{port}/down", OPEN)


@pytest.mark.parametrize("text", ["ftp://a/b", "http://", "http://user:secret@host/x", "http://host:port/x"])
def test_urls_that_cannot_be_requested(text: str) -> None:
    with pytest.raises(UsageError, match="cannot read the URL"):
        fetch(text, OPEN)


def test_what_is_a_url() -> None:
    assert downloads.is_url("https://a.example/cat.jpg?x=1")
    assert downloads.is_url("HTTP://a.example")
    for text in ("see http://a.example", "http://a.example is down", "a.example/cat.jpg", "ftp://a", ""):
        assert not downloads.is_url(text)
