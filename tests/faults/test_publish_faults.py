"""Publishing under kills, races and full disks: E1, E2, E5."""

import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from serving.repository.faultpoints import POINTS, fault
from serving.repository.repository import Repository

PUBLISHER = """
import sys
from pathlib import Path
from serving.repository.repository import Repository
root, candidate, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
for _ in range(count):
    print(Repository(root).publish("m", candidate, {"k": 1}).version, flush=True)
"""


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    folder = tmp_path / "candidate"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(bytes(range(256)) * 256)
    return folder


def _start(root: Path, candidate: Path, count: int = 1, **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-c", PUBLISHER, str(root), str(candidate), str(count)]
    return subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _consistent(repository: Repository) -> None:
    for version in repository.versions("m"):
        repository.release("m", version).verify()
    numeric = [entry.name for entry in (repository.root / "m").iterdir() if entry.name.isdigit()]
    assert sorted(map(int, numeric)) == repository.versions("m")


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_no_half_is_visible_and_repair_agrees(tmp_path, candidate, point):
    """E1."""
    repository = Repository(tmp_path / "repository")
    repository.publish("m", candidate, {})
    flag = tmp_path / "flag"
    flag.touch()
    child = _start(repository.root, candidate, SERVABLE_FAULT=f"{point}:kill", SERVABLE_FAULT_FLAG=str(flag))
    assert child.wait(30) == -9
    child.communicate()
    _consistent(repository)
    came_through = repository.versions("m") == [1, 2]
    assert came_through == (POINTS.index(point) >= POINTS.index("publish.after_rename"))

    repository.repair()
    recorded = {event["version"] for event in repository.history("m") if event["event"] == "publish"}
    assert recorded == set(repository.versions("m"))
    assert not list((repository.root / "m" / ".servable" / "staging").iterdir())
    label = repository.config().model_config_list.config[0].version_labels["stable"]
    assert label == repository.stable("m")
    # Servers have had the time to load the version: the second step moves the label.
    os.utime(repository.root / "models.config", (0, 0))
    assert repository.repair() == []
    assert f"value: {label} }}" in (repository.root / "models.config").read_text()

    assert repository.publish("m", candidate, {}).version == 3
    assert repository.stable("m") == 3
    _consistent(repository)


def test_the_next_publish_cleans_what_a_dead_one_left(tmp_path, candidate):
    """E1."""
    repository = Repository(tmp_path / "repository")
    flag = tmp_path / "flag"
    flag.touch()
    fault_point = {"SERVABLE_FAULT": "publish.before_rename:kill", "SERVABLE_FAULT_FLAG": str(flag)}
    child = _start(repository.root, candidate, **fault_point)
    child.communicate(timeout=30)
    staging = repository.root / "m" / ".servable" / "staging"
    assert [path.name for path in staging.iterdir()] == ["1"]
    assert repository.publish("m", candidate, {}).version == 2
    assert list(staging.iterdir()) == []


def test_a_publisher_at_work_is_not_cleaned_away(tmp_path, candidate):
    """E1: only staging of dead owners is removed."""
    repository = Repository(tmp_path / "repository")
    flag = tmp_path / "flag"
    flag.touch()
    slow = _start(
        repository.root,
        candidate,
        SERVABLE_FAULT="publish.before_rename:sleep:3",
        SERVABLE_FAULT_FLAG=str(flag),
    )
    staged = repository.root / "m" / ".servable" / "staging" / "1" / "assets.extra" / "servable.json"
    while not staged.exists():
        assert slow.poll() is None
    assert repository.publish("m", candidate, {}).version == 2
    assert staged.exists()
    output, _ = slow.communicate(timeout=30)
    assert output.split() == ["1"]
    assert repository.versions("m") == [1, 2]
    assert repository.stable("m") == 2
    _consistent(repository)


def test_without_the_flag_file_a_fault_never_strikes(monkeypatch):
    monkeypatch.setenv("SERVABLE_FAULT", "publish.after_copy:raise")
    fault("publish.after_copy")
    monkeypatch.setenv("SERVABLE_FAULT_FLAG", "/nonexistent/flag")
    fault("publish.after_copy")


def test_sixteen_publishers_in_threads_give_sixteen_versions(tmp_path, candidate):
    """E2."""
    repository = Repository(tmp_path / "repository")
    versions: list[int] = []
    threads = [
        threading.Thread(
            target=lambda n=n: versions.append(repository.publish("m", candidate, {"n": n}).version)
        )
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(versions) == list(range(1, 17))
    assert {repository.release("m", v).manifest["n"] for v in versions} == set(range(16))
    assert repository.stable("m") == 16
    _consistent(repository)


def test_sixteen_publishers_in_processes_give_strictly_increasing_versions(tmp_path, candidate):
    """E2."""
    repository = Repository(tmp_path / "repository")
    children = [_start(repository.root, candidate, count=2) for _ in range(8)]
    outputs = [[int(word) for word in child.communicate(timeout=60)[0].split()] for child in children]
    assert sorted(itertools.chain(*outputs)) == list(range(1, 17))
    assert all(first < second for first, second in outputs)
    assert repository.versions("m") == list(range(1, 17))
    assert repository.stable("m") == 16
    _consistent(repository)


DISK_FULL = """
import resource, signal, sys
from pathlib import Path
from features.errors import StorageError
from serving.repository.repository import Repository
resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
try:
    Repository(Path(sys.argv[1])).publish("m", Path(sys.argv[2]), {})
except StorageError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def test_a_full_disk_leaves_the_old_version_alone(tmp_path, candidate):
    """E5."""
    repository = Repository(tmp_path / "repository")
    repository.publish("m", candidate, {})
    command = [sys.executable, "-c", DISK_FULL, str(repository.root), str(candidate)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 74, result.stderr
    assert "cannot publish version 2 of model m" in result.stdout
    assert "65541 bytes free" in result.stdout
    assert repository.versions("m") == [1]
    assert repository.stable("m") == 1
    assert list((repository.root / "m" / ".servable" / "staging").iterdir()) == []
    _consistent(repository)


@pytest.mark.parametrize("point", POINTS[1:5])
def test_no_space_at_any_step_of_staging(tmp_path, candidate, point, monkeypatch):
    """E5."""
    repository = Repository(tmp_path / "repository")
    repository.publish("m", candidate, {})
    flag = tmp_path / "flag"
    flag.touch()
    monkeypatch.setenv("SERVABLE_FAULT", f"{point}:enospc")
    monkeypatch.setenv("SERVABLE_FAULT_FLAG", str(flag))
    with pytest.raises(Exception, match="No space left on device") as caught:
        repository.publish("m", candidate, {})
    assert caught.value.exit_code == 74
    assert repository.versions("m") == [1]
    assert list((repository.root / "m" / ".servable" / "staging").iterdir()) == []


def test_staging_is_invisible_to_a_reader_of_version_directories(tmp_path, candidate):
    """A name TensorFlow Serving would parse as a number appears only when its content is complete."""
    repository = Repository(tmp_path / "repository")
    base = repository.root / "m"
    stop = threading.Event()
    halves: list[str] = []

    def watch() -> None:
        while not stop.is_set():
            for entry in base.iterdir() if base.is_dir() else ():
                if (
                    entry.name.lstrip("-").isdigit()
                    and not (entry / "assets.extra" / "servable.json").exists()
                ):
                    halves.append(entry.name)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(10):
        repository.publish("m", candidate, {})
    stop.set()
    watcher.join()
    assert halves == []
    assert json.loads((base / "10" / "assets.extra" / "servable.json").read_text())["version"] == 10
