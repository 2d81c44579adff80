"""The process that examines candidates, with a module that examines nothing."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from features.errors import ExportError, InternalError
from flows.orchestration import examiner as examiners
from flows.orchestration.examiner import Examiner
from tests.conftest import ROOT

MODULE = "tests.flows.orchestration.examined"


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(examiners, "_kept", {})
    yield
    examiners.close()


def sent(folder: Path, **request: Any) -> tuple[Examiner, Path]:
    """Send a request and return its examiner, and the file of the verdict."""
    examiner = Examiner(folder / "examination.log", MODULE)
    (folder / "request.json").write_text(json.dumps(request))
    examiner.send(folder / "request.json", folder / "verdict.json")
    return examiner, folder / "verdict.json"


def verdict(folder: Path, **request: Any) -> dict[str, Any]:
    """Wait for the verdict on a request."""
    examiner, file = sent(folder, **request)
    examiner.wait()
    return dict(json.loads(file.read_text()))


def alive(pid: int) -> bool:
    try:
        # A process that has ended and that nobody has waited for is a zombie.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ended(pid: int) -> bool:
    limit = time.monotonic() + 60
    while alive(pid) and time.monotonic() < limit:
        time.sleep(0.02)
    return not alive(pid)


def test_each_request_has_a_process_of_its_own_with_the_environment_and_folder_of_the_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORD", raising=False)
    monkeypatch.chdir(ROOT)
    first = verdict(tmp_path, do="answer")
    monkeypatch.setenv("WORD", "größer")
    monkeypatch.chdir(tmp_path)
    second = verdict(tmp_path, do="answer")
    assert first["parent"] == second["parent"] != os.getpid()
    assert len({first["pid"], second["pid"], first["parent"]}) == 3
    assert (first["word"], second["word"]) == (None, "größer")
    assert (first["directory"], second["directory"]) == (str(ROOT), str(tmp_path))
    assert (tmp_path / "examination.log").read_text() == "examining answer\n"


def test_a_process_compares_once_it_is_told_to(tmp_path: Path) -> None:
    for _ in range(2):
        examiner, file = sent(tmp_path, do="answer", ready=str(tmp_path / "ready"))
        assert examiner.busy
        (tmp_path / "ready").write_text("")
        examiner.proceed()
        examiner.wait()
        assert not examiner.busy
        assert json.loads(file.read_text())["ready"]
        (tmp_path / "ready").unlink()


@pytest.mark.parametrize(("death", "code"), [("die", -9), ("fail", 1)])
def test_a_process_that_dies_is_told_and_the_next_request_has_another(
    tmp_path: Path, death: str, code: int
) -> None:
    before = verdict(tmp_path, do="answer")
    with pytest.raises(
        InternalError, match=f"without a verdict; got exit code {code}. Read .*examination.log"
    ):
        verdict(tmp_path, do=death)
    assert ("of no use" in (tmp_path / "examination.log").read_text()) == (death == "fail")
    assert verdict(tmp_path, do="answer")["parent"] == before["parent"]


def test_an_examination_that_is_given_up_ends_with_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examiners, "TIMEOUT_SECONDS", 0.2)
    examiner, _ = sent(tmp_path, do="stay", pid=str(tmp_path / "pid"))
    limit = time.monotonic() + 60
    while not (tmp_path / "pid").is_file() and time.monotonic() < limit:
        time.sleep(0.02)
    with pytest.raises(ExportError, match="the gate took longer than"):
        examiner.wait()
    assert ended(int((tmp_path / "pid").read_text()))
    assert not examiners._kept


def test_a_process_that_was_not_asked_is_kept_and_one_that_has_ended_replaced(tmp_path: Path) -> None:
    examiner = Examiner(tmp_path / "log", MODULE)
    examiner.start()
    examiner.stop()
    (process,) = examiners._kept.values()
    assert verdict(tmp_path, do="answer")["parent"] == process.pid
    process.kill()
    process.wait()
    assert verdict(tmp_path, do="answer")["parent"] != process.pid


def test_processes_end_with_the_one_that_keeps_them(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.flows.orchestration import test_examiner as t\n"
        "print(t.verdict(Path(sys.argv[1]), do='answer')['parent'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended(int(done.stdout))
    assert done.stderr == ""
