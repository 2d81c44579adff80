"""``servable open``: the page of a server, or a file where the server has none."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from serving.config import Options
from serving.rest.page import document
from serving.server.server import Server
from tests.conftest import ROOT
from tests.serving import saved_models

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_models.line(tmp_path_factory.mktemp("open") / "halves" / "1").parent


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Server]:
    with Server(Options(port=0, rest_port=0, model_name="halves", model_base_path=model)) as running:
        yield running


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run ``servable open`` in a process with a browser that writes down what it is to show."""
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/opened\n')
    browser.chmod(0o755)
    environment = os.environ | {"BROWSER": f"{browser} %s", "SERVABLE_WORKSPACE": str(tmp_path / "workspace")}

    def call(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "flows", "open", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return call


def test_it_opens_the_servers_own_page(run: Run, server: Server, tmp_path: Path) -> None:
    target = f"--rest-target={server.rest_target}"
    assert run("halves", target) == (0, f"http://{server.rest_target}/#halves\n", "")
    assert (tmp_path / "opened").read_text() == f"http://{server.rest_target}/#halves\n"
    assert run("--no-browser", target)[:2] == (0, f"http://{server.rest_target}/\n")
    assert len((tmp_path / "opened").read_text().splitlines()) == 1


def test_a_name_that_is_not_there_is_told_with_a_near_one(run: Run, server: Server) -> None:
    code, _, told = run("halfs", f"--rest-target={server.rest_target}")
    assert code == 66
    assert "Did you mean 'halves'?" in told


def test_without_a_server_it_says_how_to_start_one(run: Run, server: Server) -> None:
    code, _, told = run("halves", f"--rest-target={server.target}")
    assert code == 69
    code, _, told = run("halves", "--rest-target=127.0.0.1:9")
    assert code == 69
    assert "servable serve" in told
    assert run("halves", "--rest-target=no such host")[0] == 69


def test_a_page_that_is_off_is_told_with_the_flag(run: Run, model: Path) -> None:
    options = {"port": 0, "rest_port": 0, "model_name": "halves", "model_base_path": model}
    with Server(Options(**options, rest_page="off")) as server:
        code, _, told = run("halves", f"--rest-target={server.rest_target}")
        assert (code, "--rest_api_page=network" in told) == (78, True)


def test_tensorflow_serving_is_asked_by_a_file_if_it_allows_it(run: Run, tmp_path: Path) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Stock(BaseHTTPRequestHandler):
        """Answers as TensorFlow Serving does to what `open` asks."""

        headers_sent: dict[str, str] = {}

        def do_GET(self) -> None:
            found = self.path == "/v1/models/halves"
            self.send_response(200 if found else 404)
            for name, value in self.headers_sent.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"{}" if found else b'{"error": "Not found"}')

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Stock) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        target = f"127.0.0.1:{server.server_address[1]}"
        code, _, told = run("halves", f"--rest-target={target}")
        assert (code, "--rest_api_enable_cors_support" in told) == (78, True)
        Stock.headers_sent = {"Access-Control-Allow-Origin": "*"}
        file = tmp_path / "workspace" / "page.html"
        address = f"{file.as_uri()}?server={quote(f'http://{target}', safe='')}#halves"
        assert run("halves", f"--rest-target={target}") == (0, f"{address}\n", "")
        assert file.read_bytes() == document.alone()
        assert run("other", f"--rest-target={target}")[0] == 66
        server.shutdown()


def test_the_page_is_saved_for_any_server(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "page.html"
    assert run("--save", str(file)) == (0, f"{file}\n", "")
    assert file.read_bytes() == document.alone()
    assert run("--save", str(file / "below a file"))[0] in (73, 74, 77)
