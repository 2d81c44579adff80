"""What the doctor finds at the addresses of MLflow and Prefect."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flows import doctor
from flows.orchestration import probing
from flows.workspace import Workspace

Answers = dict[str, tuple[int, str]]


@pytest.fixture
def server() -> Iterator[Callable[[Answers], str]]:
    """Start a server that answers each path with a status and a text; give its address."""
    running = []

    def start(answers: Answers) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, text = answers.get(self.path, (404, "nothing here"))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        running.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=running[-1].serve_forever, daemon=True).start()
        return f"http://me:hunter22@127.0.0.1:{running[-1].server_address[1]}"

    yield start
    for one in running:
        one.shutdown()
        one.server_close()


def found(tmp_path: Path) -> dict[str, doctor.Finding]:
    """Return what is found of the addresses alone, by part."""
    return {finding.part: finding for finding in doctor._addresses(Workspace(tmp_path / "none"))}


def test_a_server_that_answers_is_named_with_its_version(tmp_path: Path, server, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server({"/version": (200, "3.17.2")}))
    monkeypatch.setenv("PREFECT_API_URL", server({"/api/version": (200, json.dumps("3.8.8"))}) + "/api")
    findings = found(tmp_path)
    assert [finding.mark for finding in findings.values()] == ["ok", "ok"]
    assert findings["tracking"].text.startswith("MLflow 3.17.2 at http://me:***@127.0.0.1:")
    assert findings["prefect api"].text.startswith("Prefect 3.8.8 at http://me:***@127.0.0.1:")


def test_other_servers_and_logins_are_told_apart(tmp_path: Path, server, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server({"/version": (200, "<html>router</html>")}))
    monkeypatch.setenv("PREFECT_API_URL", server({}) + "/api")
    findings = found(tmp_path)
    assert [finding.mark for finding in findings.values()] == ["FAIL", "FAIL"]
    assert "is not MLflow (HTTP 200): correct MLFLOW_TRACKING_URI" in findings["tracking"].text
    assert "is not Prefect (HTTP 404): correct PREFECT_API_URL" in findings["prefect api"].text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server({"/version": (401, "who?")}))
    assert found(tmp_path)["tracking"].text.endswith("responds, and needs a login")


def test_a_server_that_is_away_or_silent_is_told_within_moments(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(probing, "SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection, and says nothing
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hunter22@127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
        findings = found(tmp_path)
    tracking, prefect = findings["tracking"], findings["prefect api"]
    assert (tracking.mark, prefect.mark) == ("note", "FAIL")
    assert "does not respond (no answer within 0.05 s): trainings go on" in tracking.text
    assert "does not respond (Connection refused): start it, correct or unset PREFECT_API_URL" in prefect.text
    assert "hunter22" not in tracking.text + prefect.text


def test_without_variables_nothing_is_asked(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    findings = found(tmp_path)
    assert findings["tracking"].text.startswith("sqlite:///")
    assert findings["prefect api"].text == "none configured: every training starts its own"
    assert not (tmp_path / "none").exists()
