"""Exit code 70 stands for faults of ours: what users, services and the system do wrong has other codes."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.error
from pathlib import Path

import httpx
import pytest
import tensorflow as tf
from prefect.exceptions import PrefectHTTPStatusError

from flows import cli
from flows.console import crash
from tests import golden
from tests.conftest import ROOT

TASK = "image-classification"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden.images(tmp_path_factory.mktemp("photos") / "data")


def run(capsys: pytest.CaptureFixture[str], workspace: Path, *arguments: object) -> tuple[int, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVABLE_WORKSPACE", str(workspace))
        with pytest.raises(SystemExit) as left:
            cli.main(list(map(str, arguments)))
    err = capsys.readouterr().err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    return int(left.value.code or 0), line


RECIPE = f"task: {TASK}\nmodel:\n  kind: cnn\n  nope: 1\n"
#: Recipe files that are read, and what then is wrong with them.
READ = [RECIPE.encode(), b"\xef\xbb\xbf" + RECIPE.encode(), RECIPE.encode("utf-16")]
#: Recipe files that cannot be read or used, and a word of what is said.
BAD = {
    "latin-1": (RECIPE.encode() + b"# \xe9", "is not YAML"),
    "nul": (RECIPE.encode() + b"\0", "is not YAML"),
    "deep": (b"model: " + b"[" * 3000 + b"]" * 3000, "is not YAML"),
    "a number as section": (f"task: {TASK}\n1: 2\nfoo: 3\n".encode(), "unknown section in the recipe; got 1"),
    "a number as key": (f"task: {TASK}\nmodel: {{1: 2, kind: cnn}}\n".encode(), "Keys should be strings"),
    "within itself": (f"task: {TASK}\nmodel: &a {{kind: cnn, filters: *a}}\n".encode(), "model.filters"),
    "no task": (b"task: [a]\n", "is for another task"),
    "no name": (f"task: {TASK}\nname: 2024-01-01\n".encode(), "invalid name in recipe"),
}


@pytest.mark.parametrize("content", READ, ids=["utf-8", "byte order mark", "utf-16"])
def test_a_recipe_is_read_in_any_unicode(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "r.yaml").write_bytes(content)
    line = ("train", TASK, "--data", photos, "--name", "x", "--local", "--recipe", tmp_path / "r.yaml")
    code, text = run(capsys, tmp_path / "w", *line)
    assert (code, "recipe setting model.nope" in text) == (78, True), text


@pytest.mark.parametrize("name", BAD)
def test_a_recipe_that_cannot_be_used(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    content, words = BAD[name]
    (tmp_path / "r.yaml").write_bytes(content)
    line = ("train", TASK, "--data", photos, "--name", "x", "--local", "--recipe", tmp_path / "r.yaml")
    code, text = run(capsys, tmp_path / "w", *line)
    assert (code, words in text) == (78, True), text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--seed", 2**32), 2, "invalid seed; got 4294967296"),
        (("--set", "task=audio-classification"), 78, "is for another task"),
        (("--set", "name=[1]"), 78, "invalid name in recipe"),
        (("--set", "model.filters=" + "[" * 3000), 2, "cannot read the value of --set"),
        (("--data", "x" * 300), 66, "the data does not exist"),
        (("--data", "/" + "x/" * 3000), 66, "the data does not exist"),
    ],
    ids=["seed", "task", "name", "deep", "long name", "long path"],
)
def test_arguments_of_train(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[object, ...],
    code: int,
    words: str,
) -> None:
    line = ("train", TASK, "--data", photos, "--name", "x", "--local", "--recipe", "cnn", *arguments)
    got, text = run(capsys, tmp_path / "w", *line)
    assert (got, words in text) == (code, True), text


@pytest.mark.parametrize(
    "arguments",
    [
        ("--target", ""),
        ("--target", "http://127.0.0.1:8500"),
        ("--target", "127.0.0.1:99999"),
        ("--target", os.fsdecode(b"\xff:1")),
        ("--target", "127.0.0.1:9", "--version", 2**63),
    ],
)
def test_addresses_and_versions_that_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[object, ...]
) -> None:
    code, text = run(capsys, tmp_path / "w", "predict", "m", "a text", *arguments)
    assert code == 2, text
    code, text = run(capsys, tmp_path / "w", "status", "m", *arguments)
    assert code == 2, text


def test_a_model_name_that_is_no_unicode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = run(capsys, tmp_path / "w", "status", os.fsdecode(b"\xff"), "--target", "127.0.0.1:9")
    assert (code, "not the name or version of a model" in text) == (2, True), text


@pytest.mark.parametrize("part", ["datasets", "features", "runs", "spool"])
def test_a_file_where_the_workspace_has_a_folder(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / part).write_text("")
    small = [f"{key}=8" for key in ("featurizer.height", "featurizer.width")]
    settings = [part for key in (*small, "training.epochs=1") for part in ("--set", key)]
    line = ("train", TASK, "--data", photos, "--name", "x", "--local", "--recipe", "cnn", *settings)
    code, text = run(capsys, tmp_path / "w", *line)
    assert code in (74, 77), text
    assert str(tmp_path / "w" / part) in text
    assert "report" not in text


def caused(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/some/file")


def answered(status: int) -> PrefectHTTPStatusError:
    """What Prefect's client raises in the end: 503 is the answer while the database is locked."""
    request = httpx.Request("POST", "http://127.0.0.1:4200/api/flow_runs/")
    return PrefectHTTPStatusError("answer", request=request, response=httpx.Response(status, request=request))


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (caused(errno.ENOSPC), 74, "the disk is full"),
        (caused(errno.EDQUOT), 74, "the disk is full"),
        (caused(errno.EACCES), 77, "permission denied"),
        (caused(errno.EROFS), 77, "permission denied; got OSError: [Errno 30] Read-only file system"),
        (caused(errno.EIO), 74, "cannot access a file or folder"),
        (caused(errno.ENAMETOOLONG), 74, "/some/file"),
        (caused(errno.ENOMEM), 74, "out of memory"),
        (MemoryError(), 74, "out of memory"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), 74, "training.batch_size"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), 69, "cannot reach a service"),
        (urllib.error.URLError("no name"), 69, "cannot reach a service"),
        (httpx.ConnectError("refused"), 69, "cannot reach a service"),
        (httpx.ReadTimeout("late"), 69, "cannot reach a service"),
        (sqlite3.OperationalError("disk I/O error"), 74, "cannot use a database"),
        (sqlite3.OperationalError("database is locked"), 75, "use PostgreSQL"),
        (answered(503), 75, "use PostgreSQL"),
        (answered(500), 69, "cannot reach a service"),
    ],
)
def test_what_the_surroundings_refuse_is_no_fault_of_ours(error: Exception, code: int, words: str) -> None:
    assert crash.exit_code(error) == code
    assert words in crash.sentence(error)
    assert "bug in Servable" not in crash.sentence(error)


def test_a_fault_of_ours_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVABLE_WORKSPACE", str(tmp_path))
    assert crash.exit_code(KeyError("x")) == 70
    assert "Please report it" in crash.sentence(KeyError("x"))
    assert list((tmp_path / "reports").iterdir())


def test_a_terminal_that_lacks_a_character_ends_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows", "predict", "m", "größe.md", "--target", "127.0.0.1:9"],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "SERVABLE_WORKSPACE": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 66
    assert "no such file; got gr\\xf6\\xdfe.md" in done.stderr


def test_ctrl_c_while_libraries_are_imported(tmp_path: Path) -> None:
    # The command tells that its own code runs; TensorFlow and the rest are imported after that.
    code = (
        "import sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'tensorflow': print('importing', flush=True)\n"
        "sys.meta_path.insert(0, Watch())\n"
        "from flows.cli import main\n"
        "main()\n"
    )
    train = ("train", "image-classification", "--data", str(tmp_path), "--name", "m")
    with subprocess.Popen(
        [sys.executable, "-c", code, *train, "--local"],
        cwd=ROOT,
        env=os.environ | {"SERVABLE_WORKSPACE": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in err
