"""Events that wait are not lost to a wrong address, to a server that is no MLflow, or to another store."""

import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from flows.console.redaction import MASK
from flows.tracking import tracking
from flows.tracking.spool import rejects
from flows.tracking.spool.outbox import REJECTED, Spool
from flows.workspace import Workspace
from tests.mlflow_store import Workplace, database

AWAY = "http://127.0.0.1:9"


@pytest.fixture
def place(tmp_path):
    return Workplace(tmp_path)


def train(place, uri, key="pets/1", status="FINISHED"):
    """Return what a small training says."""
    with place.tracking(uri) as tracked:
        run = tracked.start("pets", run_name="pets-1", key=key, params={"seed": 0})
        for step in range(5):
            run.metrics({"loss": float(step)}, step)
        run.text("seed: 0\n", "recipe.yaml")
        run.finish(status)
    return run


def rejected(place):
    file = place.spool / REJECTED
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@contextmanager
def server(answer: Callable[[str], tuple[int, str, str]]) -> Iterator[str]:
    """Answer every request the same way: status, content type, body, by the path asked for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, kind, body = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_PATCH = do_PUT = do_DELETE = do_GET

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()


NONSENSE = {
    "a page": (200, "text/html", "<html>welcome</html>"),
    "an empty object": (200, "application/json", "{}"),
    "an empty answer": (200, "text/plain", ""),
    "a list": (200, "application/json", "[]"),
    "a word": (200, "application/json", '"ok"'),
    "another API": (404, "application/json", '{"detail": "Not Found"}'),
    "a page that is not there": (404, "text/html", "<html>404</html>"),
    "a bad request": (400, "application/json", '{"error": "no such parameter"}'),
    "a bad request in numbers": (400, "application/json", '{"error_code": 400, "message": "bad"}'),
    "a refusal": (403, "text/html", "<html>log in</html>"),
    "a redirect to nowhere": (302, "text/html", ""),
    "a failure": (500, "text/plain", "boom"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_a_server_that_is_not_mlflow_loses_nothing(place, name):
    train(place, AWAY)
    with server(lambda path: NONSENSE[name]) as url, place.tracking(url) as tracked:
        assert not tracked.drain(5)
        assert tracked.trouble
        tracked.promote("pets", 1)
        tracked.drain(5)
    assert rejected(place) == []
    shutil.rmtree(next(iter(place.spool.glob("alias*"))))
    with place.tracking() as tracked:
        assert tracked.drain(), tracked.trouble
    (run,) = place.runs()
    assert run.info.status == "FINISHED"
    assert place.history(run.info.run_id, "loss") == [(step, float(step)) for step in range(5)]
    assert place.artifacts(run.info.run_id) == {"recipe.yaml": b"seed: 0\n"}


@pytest.mark.parametrize(
    "uri", ["localhost:5000", "htp://x", "./mlruns", "databricks", "sqlite:////nosuch/a/b.db"]
)
def test_a_store_that_cannot_be_opened_loses_nothing(place, uri, monkeypatch, tmp_path):
    """Below the check of the address, too: whatever is wrong with a store is not wrong with an event."""
    monkeypatch.chdir(tmp_path)
    if uri.startswith("sqlite"):  # MLflow makes the folder
        (tmp_path / "file").touch()
        uri = f"sqlite:///{tmp_path}/file/mlflow.db"
    train(place, AWAY)
    with place.tracking(uri) as tracked:
        assert not tracked.drain(20)
    assert rejected(place) == []
    with place.tracking() as tracked:
        assert tracked.drain(), tracked.trouble
    assert [run.info.status for run in place.runs()] == ["FINISHED"]


def test_a_run_begun_in_one_store_is_whole_in_the_next(place, tmp_path):
    """MLFLOW_TRACKING_URI was changed between two attempts of one training."""
    train(place, None, status="KILLED")
    (first,) = place.runs()
    other = Workplace(tmp_path, database(tmp_path / "other"))
    with other.tracking() as tracked:
        run = tracked.start("pets", run_name="pets-1", key="pets/1", params={"seed": 0})
        run.metrics({"loss": 5.0}, 5)
        run.finish()
        assert tracked.drain(), tracked.trouble
    (second,) = other.runs()
    assert second.info.status == "FINISHED"
    assert second.data.params == {"seed": "0"}
    assert other.history(second.info.run_id, "loss") == [(step, float(step)) for step in range(6)]
    assert place.client.get_run(first.info.run_id).info.status == "KILLED"
    assert rejected(place) == []
    assert len([notice for notice in other.notices if "is sent there from its beginning" in notice]) == 1


def as_earlier_versions_did(place):
    """Move everything that waits to rejected.jsonl, and delete what it would have uploaded."""
    reason = "Model registry functionality is unavailable; got unsupported URI 'localhost:5000'"
    for directory in sorted(place.spool.glob("*~*")):
        for event in Spool(directory).read():
            if event.kind != "finish":
                record = {"run": directory.name, "kind": event.kind, "at": event.at, "body": event.body}
                with open(place.spool / REJECTED, "a") as stream:
                    stream.write(json.dumps(record | {"reason": reason}) + "\n")
        shutil.rmtree(directory)


def test_events_rejected_by_earlier_versions_are_offered_again(tmp_path, monkeypatch):
    workspace = Workspace.open(tmp_path / "workspace")
    place = Workplace(tmp_path)
    place.spool = workspace.spool
    monkeypatch.setenv("MLFLOW_TRACKING_URI", AWAY)
    train(place, AWAY)
    train(place, AWAY, "pets/2")
    as_earlier_versions_did(place)
    with open(place.spool / REJECTED, "a") as stream:
        stream.write("a line cut in the midd")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.uri)
    assert tracking.replay(workspace) == "tracking: nothing to send"
    said = rejects.describe(workspace.spool)
    for words in (
        "17 events of 3 runs",
        str(place.spool / REJECTED),
        "localhost:5000' (16)",
        "sync --rejected",
    ):
        assert words in said
    assert tracking.replay(workspace, rejected=True) == f"tracking: 2 records sent to {place.uri}"
    for run in place.runs():
        assert run.info.status == "FINISHED"
        assert run.data.params == {"seed": "0"}
        assert place.history(run.info.run_id, "loss") == [(step, float(step)) for step in range(5)]
    assert len(place.runs()) == 2
    lines = (place.spool / REJECTED).read_text().splitlines()
    assert lines[0] == "a line cut in the midd"
    assert [(json.loads(line)["kind"], json.loads(line)["reason"]) for line in lines[1:]] == [
        ("artifact", "the file to upload is missing")
    ] * 2
    assert not list(place.spool.glob("*~*"))


def test_what_is_refused_keeps_its_file_and_is_taken_later(place):
    """An event that MLflow refuses today, and takes tomorrow: the run was deleted, and is restored."""
    with place.tracking() as tracked:
        run = tracked.start("pets", run_name="pets-1", key="pets/1")
        assert tracked.drain(), tracked.trouble
        place.client.delete_run(run.run_id)
        run.metrics({"loss": 1.0}, 1)
        run.text("late", "late.txt")
        run.finish()
        assert tracked.drain(), tracked.trouble
    refused = [record["kind"] for record in rejected(place)]
    assert {"metrics", "finish"} <= set(refused)
    assert not list(place.spool.glob("pets*"))
    place.client.restore_run(run.run_id)
    assert rejects.offer(place.spool) == len(refused)
    with place.tracking() as tracked:
        assert tracked.drain(), tracked.trouble
    assert place.client.get_run(run.run_id).info.status == "FINISHED"
    assert place.history(run.run_id, "loss") == [(1, 1.0)]
    assert place.artifacts(run.run_id) == {"late.txt": b"late"}
    assert rejected(place) == []
    assert [child.name for child in place.spool.iterdir() if child.name.startswith("pets")] == []


def test_offering_again_what_is_refused_again_ends(place):
    with place.tracking() as tracked:
        run = tracked.start("pets", run_name="pets-1", key="pets/1")
        run.write("metrics", metrics={"bad//name": 1.0}, step=0)
        run.finish()
    (before,) = rejected(place)
    for _ in range(2):
        assert rejects.offer(place.spool) == 1
        with place.tracking() as tracked:
            assert tracked.drain(), tracked.trouble
    (after,) = rejected(place)
    assert after["body"] == before["body"]
    assert after["run"].partition(rejects.AGAIN)[0] == before["run"]


def test_many_refusals_for_one_reason_are_told_once(place):
    with place.tracking() as tracked:
        run = tracked.start("pets", run_name="pets-1", key="pets/1")
        assert tracked.drain(), tracked.trouble
        place.client.delete_run(run.run_id)
        for step in range(30):
            run.metrics({"loss": 1.0}, step)
        run.finish()
    refused = [notice for notice in place.notices if "refused" in notice]
    assert len(refused) < 4
    assert len(rejected(place)) >= 30


@pytest.mark.parametrize("line", ["[]", "{}", '{"run": "../x", "kind": "tags", "at": 1, "body": {}}', "\x00"])
def test_lines_that_cannot_be_read_stay(tmp_path, line):
    file = tmp_path / REJECTED
    file.write_text(line + "\n")
    assert rejects.offer(tmp_path) == 0
    assert file.read_text() == line + "\n"
    assert "1 events" in rejects.describe(tmp_path)


def test_reasons_are_masked(tmp_path):
    reason = "cannot reach http://me:hunter22@host"
    record = {"run": "a~1", "kind": "tags", "at": 1, "body": {}, "reason": reason}
    (tmp_path / REJECTED).write_text(json.dumps(record) + "\n")
    assert MASK in rejects.describe(tmp_path)
    assert "hunter22" not in rejects.describe(tmp_path)


def test_nothing_is_said_of_nothing(tmp_path):
    assert rejects.describe(tmp_path) == ""
    assert rejects.offer(tmp_path / "nosuch") == 0
