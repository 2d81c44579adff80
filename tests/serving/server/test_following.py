"""``serve --model_base_path=s3://...``: the versions in a store are served, and a new one takes over."""

import time

import numpy as np

from flows.commands.releases.mirror import mirror
from flows.workspace import Workspace
from serving import cli
from serving.client.client import Client
from serving.repository.repository import Repository
from serving.server import flags
from serving.server.server import Server
from tests.serving.saved_models import line


def test_a_version_that_was_mirrored_is_served_and_the_next_one_takes_over(bucket, tmp_path, capsys):
    workspace = Workspace.open(tmp_path / "workspace")
    repository = Repository(workspace.repository)
    repository.publish("line", line(tmp_path / "first", 2.0, 1.0), {"task": "none"})
    mirror(f"{bucket.url}/models", workspace.root)
    place = f"--model_base_path={bucket.url}/models/line"
    arguments = ["--model_name=line", place, "--port=0", "--file_system_poll_wait_seconds=0.05"]
    parsed = flags.parse(arguments, tmp_path / "elsewhere" / "repository")
    with cli._following(parsed), Server(parsed.options) as server, Client(server.target) as client:

        def answer() -> float:
            return float(client.predict("line", x=np.array([3.0], np.float32))["y"][0])

        assert answer() == 2.0 * 3.0 + 1.0
        repository.publish("line", line(tmp_path / "second", -1.0, 0.5), {"task": "none"})
        mirror(f"{bucket.url}/models", workspace.root)
        deadline = time.monotonic() + 20
        while answer() != -1.0 * 3.0 + 0.5:
            assert time.monotonic() < deadline, "the new version does not take over"
            time.sleep(0.01)
        repository.rollback("line", "worse")
        mirror(f"{bucket.url}/models", workspace.root)
        while answer() != 2.0 * 3.0 + 1.0:
            assert time.monotonic() < deadline, "the rollback is not followed"
            time.sleep(0.01)
        assert client.predict("line", label="stable", x=np.array([3.0], np.float32))["y"] == [7.0]
    sent = ["line 1: sent", "line: stable 1", "line 2: sent", "line: stable 2", "line: stable 1"]
    assert capsys.readouterr().out.splitlines() == sent
