"""A Prefect server that outlives a training: found by the next one, awake while one runs, gone when idle."""

import contextlib
import json
import os
import shutil
import time

import psutil
import pytest

from flows.console import server_log
from flows.orchestration import kept_server, prefect_api, prefect_server
from flows.workspace import Workspace


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("PREFECT")]:
        monkeypatch.delenv(name)
    kept = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """One workspace for all tests: a new one has a database to make, which takes longer than the tests."""
    return Workspace.open(tmp_path_factory.mktemp("kept") / "ws")


def ended(pid):
    """Wait for a process to end; the deadline is for a machine that hangs alone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(120)
    return True


def test_a_server_is_kept_for_the_next_training_and_ends_once_it_is_idle(workspace, monkeypatch):
    monkeypatch.setenv(kept_server.IDLE, "3")
    with prefect_server.running_api(workspace) as ready:
        first = ready()
        pid = json.loads(kept_server.file(workspace).read_text())["pid"]
        time.sleep(5)  # a step of many hours
        assert prefect_api.answers(first)
    # A server that stays up for good is another matter: schedules need one.
    assert prefect_api.announced(workspace) is None
    with prefect_server.running_api(workspace) as ready:
        assert ready() == first
    assert ended(pid)
    assert not kept_server.file(workspace).exists()
    assert kept_server.address(workspace) is None


def test_no_server_is_kept_where_none_is_wanted(workspace, monkeypatch):
    monkeypatch.setenv(kept_server.IDLE, "0")
    with prefect_server.running_api(workspace) as ready:
        url = ready()
    assert not prefect_api.answers(url)


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"url": "http://127.0.0.1:9/api"}', '{"url": "http://127.0.0.1:9/api", "pid": 1}'],
    ids=["cut off", "not an object", "without a process", "without a version"],
)
def test_an_address_that_cannot_be_read_is_none(workspace, content):
    workspace.prefect.mkdir(parents=True, exist_ok=True)
    kept_server.file(workspace).write_text(content)
    assert kept_server.address(workspace) is None
    kept_server.file(workspace).unlink()


def test_a_server_ends_with_its_workspace_and_unless_it_was_used(workspace, monkeypatch):
    monkeypatch.setenv(kept_server.IDLE, "600")
    with prefect_server.running_api(workspace):
        pass  # such as a mistake in the request
    assert kept_server.address(workspace) is None
    with prefect_server.running_api(workspace) as ready:
        ready()
    pid = json.loads(kept_server.file(workspace).read_text())["pid"]
    shutil.rmtree(workspace.root)
    assert ended(pid)


@pytest.mark.proof
def test_servers_that_start_at_once_on_a_new_workspace_share_its_database(tmp_path):
    place = Workspace.open(tmp_path / "ws")
    servers = [prefect_server.EmbeddedServer(place) for _ in range(4)]
    try:
        for server in servers:
            server.wait()
    finally:
        for server in servers:
            server.stop()
    assert server_log.errors(servers[0].log) == []
