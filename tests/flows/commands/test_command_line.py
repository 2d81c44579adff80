"""The command line as scripts see it: one line on stderr, exit codes, JSON, and no traceback."""

import functools
import importlib.metadata
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows import cli
from flows.gate.expectations import read_calls
from flows.runs import finished
from models.explain import activations
from tests import golden
from tests.conftest import ROOT
from tests.flows.store import of_run
from tests.trained import Trained, arguments, command, command_here, request

TASK = "image-classification"


@pytest.fixture(scope="module")
def one_class(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = golden.images(tmp_path_factory.mktemp("one"))
    shutil.rmtree(folder / "level")
    return folder


def error_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run a command in this process; give its exit code and its only line of error."""
    with pytest.raises(SystemExit) as left:
        cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    (line,) = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    return int(left.value.code or 0), line


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "workspace").mkdir()
    monkeypatch.setenv("SERVABLE_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    installed = importlib.metadata.version("servable")
    for line in (["--version"], ["version"], ["version", "--json"]):
        with pytest.raises(SystemExit) as left:
            cli.main(line)
        assert not left.value.code
        text = capsys.readouterr().out
        if "--json" in line:
            versions = json.loads(text)
            assert versions["tensorflow"] == importlib.metadata.version("tensorflow")
            assert versions["servable"] == installed
        else:
            assert f"servable {installed}" in text.splitlines()


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main([])
    assert left.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Usage: ")
    assert any(line.split()[:1] == ["train"] for line in lines)


MISTAKES = [
    (("nosuch",), 2, ["No such command 'nosuch'"]),
    (("train", TASK, "--name", "x"), 2, ["Missing option", "--data"]),
    (("train", "audio-something", "--data", ".", "--name", "x"), 78, ["audio-something", TASK]),
    (("train", TASK, "--data", "nosuch", "--name", "x"), 66, ["nosuch", "--data"]),
    (("train", TASK, "--data", ".", "--name", "../x"), 2, ["../x", "letters"]),
    (("train", TASK, "--data", ".", "--name", "x", "--seed", "-1"), 2, ["seed"]),
    (("train", TASK, "--data", ".", "--name", "x", "--recipe", "best"), 2, ["best", "fine-tune", "frozen"]),
    (("train", TASK, "--data", ".", "--name", "x", "--set", "model.nope=1"), 78, ["model.nope", "backbone"]),
    (("train", TASK, "--data", ".", "--name", "x", "--set", "nope"), 2, ["nope", "="]),
    (("predict", "m", "nosuch.jpg"), 66, ["nosuch.jpg"]),
    (("predict", "m", str(ROOT / "README.md"), "--target", "127.0.0.1:9"), 69, ["127.0.0.1:9", "serve"]),
    (("rollback", "nosuch"), 66, ["nosuch"]),
    (("promote", "nosuch", "3"), 66, ["nosuch"]),
    (("verify", "nosuch"), 66, ["nosuch"]),
    (("schedule", TASK, "--cron", "0 3 * * *", "--data", ".", "--name", "x"), 69, ["servable ui"]),
    (("worker",), 69, ["servable ui"]),
]


@pytest.mark.parametrize(
    ("arguments", "code", "words"), MISTAKES, ids=[" ".join(row[0])[:60] for row in MISTAKES]
)
def test_mistakes_are_one_line_with_an_exit_code(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: tuple, code: int, words: list[str]
) -> None:
    if "--local" not in arguments and arguments[0] == "train":
        arguments = (*arguments, "--local")
    got, line = error_of(capsys, *arguments)
    assert got == code, line
    for word in words:
        assert word in line


def test_one_class_is_bad_data(here: Path, one_class: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = error_of(
        capsys, "train", TASK, "--data", one_class, "--name", "x", "--recipe", "cnn", "--local"
    )
    assert code == 65
    assert "upright" in line


def test_too_many_bad_files_stop_before_training(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = golden.images(here / "data")
    for number in range(12):
        (data / "level" / f"bad-{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(number))
    with pytest.raises(SystemExit) as left:
        cli.main(["train", TASK, "--data", str(data), "--name", "x", "--recipe", "cnn", "--local"])
    assert left.value.code == 65
    line = capsys.readouterr().err.splitlines()[-1]
    assert "12" in line
    assert "quarantine" in line
    assert not (here / "workspace" / "runs").exists()


def test_a_workspace_that_cannot_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SERVABLE_WORKSPACE", str(tmp_path / "file" / "workspace"))
    code, line = error_of(capsys, "train", TASK, "--data", tmp_path, "--name", "x", "--local")
    assert code == 77
    assert "--workspace" in line


def test_models_lists_what_is_published(trained: Trained) -> None:
    done = command("models", "--json", workspace=trained.workspace.root)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[0]["model"] == "golden"
    assert rows[0]["version"] == 1
    assert rows[0]["metric"] == "test/accuracy"
    assert rows[0]["value"] == round(trained.summary["metrics"]["test/accuracy"], 4)
    assert rows[0]["run_id"] == trained.summary["run_id"]
    assert [row["stable"] for row in rows].count("yes") == 1
    shown = command("models", workspace=trained.workspace.root)
    assert shown.stdout.splitlines()[0].split() == [
        "model",
        "version",
        "label",
        "task",
        "metric",
        "value",
        "published",
    ]


def test_nothing_heavy_is_imported_for_help() -> None:
    code = (
        "import sys; from flows import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'prefect', 'mlflow', 'numpy', 'grpc', 'rich', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout


@pytest.fixture(scope="module")
def served(trained: Trained) -> Iterator[tuple[str, ...]]:
    """The gRPC and REST addresses of ``servable serve`` on the trained workspace."""
    with subprocess.Popen(
        [sys.executable, "-m", "flows", "serve", "--port=0", "--rest_api_port=0"],
        cwd=ROOT,
        env=os.environ | {"SERVABLE_WORKSPACE": str(trained.workspace.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield tuple(process.stdout.readline().split()[1] for _ in range(2))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_status_and_metadata_of_a_served_model(served: tuple[str, ...], tmp_path: Path) -> None:
    target, rest = served
    done = command("status", "golden", "--json", "--target", target, workspace=tmp_path)
    assert json.loads(done.stdout)["state"] == "AVAILABLE"
    done = command("metadata", "golden", "--json", "--target", target, workspace=tmp_path)
    signatures = json.loads(done.stdout)["signatures"]
    assert set(signatures) == {"serving_default", "embed", "from_pixels", "occlusion", "grad_cam"}
    assert signatures["serving_default"]["inputs"] == {"image_bytes": {"dtype": "string", "shape": [None]}}
    assert "image_bytes" in command("metadata", "golden", "--target", target, workspace=tmp_path).stdout
    for verb, words in (("status", '"AVAILABLE"'), ("metadata", '"image_bytes"')):
        line = command(verb, "golden", "--curl", "--rest-target", rest, workspace=tmp_path).stdout
        asked = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
        assert words in asked.stdout


def test_the_printed_curl_command_gives_the_same_answer(
    trained: Trained, served: tuple[str, ...], tmp_path: Path
) -> None:
    target, rest = served
    raw = min((trained.run.path / "parity").glob("*.raw"), key=lambda path: path.stat().st_size)
    places = ("--target", target, "--rest-target", rest)
    line = command("predict", "golden", raw, "--curl", *places, workspace=tmp_path).stdout
    asked = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    answer = json.loads(command("predict", "golden", raw, "--json", *places, workspace=tmp_path).stdout)
    outputs = json.loads(asked.stdout)["outputs"]
    assert outputs["label"] == [answer["label"]]
    assert outputs["score"] == pytest.approx([answer["score"]], abs=1e-6)
    line = command("predict", "golden", raw, "--grpcurl", *places, workspace=tmp_path).stdout
    assert line.startswith("grpcurl -plaintext -d ")
    assert line.rstrip().endswith(f"{target} tensorflow.serving.PredictionService/Predict")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of 500 KB, whose name needs quoting: too long for an argument of a process."""
    return golden.photo(tmp_path_factory.mktemp("photo") / "my 100% cat's.jpg")


def test_the_printed_commands_send_a_photo_of_500_kb(
    served: tuple[str, ...], photo: Path, tmp_path: Path
) -> None:
    target, rest = served
    places = ("--target", target, "--rest-target", rest)
    answer = json.loads(command("predict", "golden", photo, "--json", *places, workspace=tmp_path).stdout)
    line = command("predict", "golden", photo, "--curl", *places, workspace=tmp_path).stdout
    assert len(line) < 1000
    asked = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    outputs = json.loads(asked.stdout)["outputs"]
    assert outputs["label"] == [answer["label"]]
    assert outputs["score"] == pytest.approx([answer["score"]], abs=1e-6)
    # With further inputs beside the file, and from standard input, which cannot be read again.
    line = command(
        "explain", "golden", photo, "--label", "level", "--curl", *places, workspace=tmp_path
    ).stdout
    asked = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(asked.stdout)["outputs"]["label"] == ["level"]
    asked = subprocess.run(
        ["bash"],
        input=f"cat {shlex.quote(str(photo))} | {sys.executable} -m flows predict golden - --curl"
        f" --target {target} --rest-target {rest} | bash",
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(asked.stdout)["outputs"]["label"] == [answer["label"]]


def test_readmes_curl_snippet_sends_a_photo_of_500_kb(
    served: tuple[str, ...], photo: Path, tmp_path: Path
) -> None:
    target, rest = served
    (line,) = [line for line in (ROOT / "README.md").read_text().splitlines() if "base64" in line]
    (tmp_path / "cat.jpg").write_bytes(photo.read_bytes())
    line = line.replace("127.0.0.1:8501", rest).replace("pets", "golden")
    asked = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    done = command("predict", "golden", photo, "--json", "--target", target, workspace=tmp_path)
    (prediction,) = json.loads(asked.stdout)["predictions"]
    assert prediction["label"] == json.loads(done.stdout)["label"]


def test_served_answers_are_the_trained_ones(
    trained: Trained, served: tuple[str, ...], tmp_path: Path
) -> None:
    """``servable predict`` against the answers that the training graph gave."""
    target, _ = served
    expected = json.loads((trained.run.path / "parity" / "answers.json").read_text())
    raws = sorted((trained.run.path / "parity").glob("*.raw"))[:8]
    done = command("predict", "golden", *raws, "--json", "--target", target, workspace=tmp_path)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["label"] for answer in answers] == expected["texts"]["label"][:8]
    for number, (answer, raw) in enumerate(zip(answers, raws, strict=True)):
        assert set(answer) == {"input", "label", "score", "scores", "model", "version"}
        assert answer["input"] == str(raw)
        assert answer["model"] == "golden"
        assert answer["score"] == pytest.approx(expected["numbers"]["score"][number], abs=1e-5)
        assert list(answer["scores"]) == ["level", "upright"]
        assert list(answer["scores"].values()) == pytest.approx(
            expected["numbers"]["scores"][number], abs=1e-5
        )
    bad = tmp_path / "no-image.jpg"
    bad.write_text("this is no image")
    done = command("predict", "golden", bad, "--target", target, workspace=tmp_path)
    assert done.returncode == 65
    assert done.stderr.startswith("error: ")
    assert "image" in done.stderr
    done = command("predict", "nosuch", raws[0], "--target", target, workspace=tmp_path)
    assert done.returncode == 66
    assert "nosuch" in done.stderr


def test_predictions_without_a_server_are_the_servers(
    trained: Trained, served: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--local``, and what happens by itself where nothing listens."""
    raws = sorted((trained.run.path / "parity").glob("*.raw"))[:3]
    target, root = served[0], trained.workspace.root
    asked = command("predict", "golden", *raws, "--json", "--target", target, workspace=tmp_path)
    wanted = list(map(json.loads, asked.stdout.splitlines()))
    nowhere = ("--target", "127.0.0.1:9")
    here = functools.partial(command_here, capsys)
    for run, where, note in (
        (command, ("--local",), ""),
        (here, nowhere, "no model server at 127.0.0.1:9; golden is loaded"),
    ):
        done = run("predict", "golden", *raws, "--json", *where, workspace=root)
        assert done.returncode == 0, done.stderr
        assert note in done.stderr
        for ours, theirs in zip(map(json.loads, done.stdout.splitlines()), wanted, strict=True):
            assert ours["score"] == pytest.approx(theirs["score"], abs=1e-6)
            assert {**ours, "score": 0, "scores": 0} == {**theirs, "score": 0, "scores": 0}
    for where, code, words in (
        (nowhere, 69, "no model server at 127.0.0.1:9"),
        (("--local",), 66, "No model 'golden'. No model is there"),
    ):
        done = command("predict", "golden", raws[0], *where, workspace=tmp_path)
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert not (tmp_path / "repository").exists()
    done = command("predict", "goldn", raws[0], "--local", workspace=root)
    assert (done.returncode, done.stderr) == (66, "error: No model 'goldn'. Did you mean 'golden'?\n")


def test_a_running_server_is_asked_without_tensorflow(trained: Trained, served: tuple[str, ...]) -> None:
    photo = next((trained.run.path / "parity").glob("*.raw"))
    code = (
        "import sys; from flows import cli\n"
        f"try: cli.main(['predict', 'golden', {str(photo)!r}, '--target', {served[0]!r}])\n"
        "except SystemExit as left: assert not left.code\n"
        "heavy = {'tensorflow', 'keras', 'prefect', 'mlflow', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{photo}: ")


def test_activation_maps_of_a_run_and_of_its_release(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``servable activations`` against the layer asked for itself."""
    monkeypatch.setenv("SERVABLE_WORKSPACE", str(trained.workspace.root))
    (raw,) = list((trained.data / "level").glob("001.png"))
    for name in ("golden", trained.run.path):
        out = tmp_path / "maps.png"
        arguments = ("activations", name, raw, "--layer", "1", "--out", out, "--json")
        with pytest.raises(SystemExit) as left:
            cli.main([str(argument) for argument in arguments])
        assert left.value.code == 0
        shown = json.loads(capsys.readouterr().out)
        assert (shown["kind"], shown["height"], shown["width"], shown["maps"]) == ("Conv2D", 16, 16, 4)
        network = finished.find(trained.workspace, "golden").network()
        wanted = activations.activations(network, raw.read_bytes(), "1").maps
        assert shown["mean"] == pytest.approx(wanted.mean((0, 1)).tolist(), abs=1e-6)
        assert out.read_bytes().startswith(b"\x89PNG")
        out.unlink()
    wrong = tmp_path / "no-image.jpg"
    wrong.write_text("this is no image")
    code, line = error_of(capsys, "activations", "golden", wrong)
    assert code == 65
    assert "not_an_image" in line
    code, line = error_of(capsys, "activations", "nosuch", raw)
    assert code == 66
    assert "nosuch" in line


def test_a_served_model_explains_a_file(trained: Trained, served: tuple[str, ...], tmp_path: Path) -> None:
    """``servable explain`` against the maps that the training graph gave the gate."""
    target, rest = served
    raw = trained.run.path / "parity" / "0000.raw"
    calls = {call.signature: call for call in read_calls(trained.run.path / "parity")}
    out = tmp_path / "maps" / "heatmap.png"
    drawn = ("--out", out, "--json", "--target", target)
    asked = str(calls["occlusion"].inputs["stride"][0])
    for method, signature, stride in (
        ("occlusion", "occlusion", ("--stride", asked)),
        ("grad-cam", "grad_cam", ()),
    ):
        done = command("explain", "golden", raw, "--method", method, *stride, *drawn, workspace=tmp_path)
        assert done.returncode == 0, done.stderr
        told, wanted = json.loads(done.stdout), calls[signature].outputs
        assert told["label"] == wanted["label"][0].decode()
        assert told["score"] == pytest.approx(float(wanted["score"][0]), abs=1e-5)
        assert told["size"] == list(wanted["heatmap"][0].shape)
        np.testing.assert_allclose(told["heatmap"], wanted["heatmap"][0], atol=1e-4)
        with Image.open(out) as opened:
            assert opened.size[0] > 600
            assert np.ptp(np.asarray(opened.convert("L"))) > 100
        out.unlink()
    further = ("--label", "level", "--patch", "8", "--curl", "--target", target, "--rest-target", rest)
    line = command("explain", "golden", raw, *further, workspace=tmp_path).stdout
    asked = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    outputs = json.loads(asked.stdout)["outputs"]
    assert (outputs["label"], outputs["patch"], outputs["stride"]) == (["level"], [8], [4])
    done = command("explain", "golden", raw, "--label", "nosuch", "--target", target, workspace=tmp_path)
    assert done.returncode == 65
    assert "no such label; got nosuch; expected one of level, upright" in done.stderr


@pytest.mark.proof
def test_t2_a_killed_training_goes_on_in_its_mlflow_run(tmp_path: Path) -> None:
    """kill -9 while the epochs run, then the same command again; the same weights as without the kill."""
    wanted = request(
        TASK, golden.images(tmp_path / "data"), tmp_path / "a", overrides=("training.epochs=400",)
    )
    line = [sys.executable, "-m", "flows", *arguments(wanted), "--local"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PREFECT"))}
    process = subprocess.Popen(
        line,
        cwd=ROOT,
        env=environment | {"SERVABLE_WORKSPACE": str(tmp_path / "a")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    folder = tmp_path / "a" / "runs" / "golden"
    _wait(lambda: sum(1 for _ in folder.glob("*/checkpoints/*/*")) > 1, process)
    process.kill()
    process.wait()
    (run,) = folder.iterdir()
    assert json.loads((run / "run.json").read_text())["state"] == "running"
    done = command(*arguments(wanted), "--local", workspace=tmp_path / "a")
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == [run]
    summary = json.loads(done.stdout.splitlines()[-1])
    found = of_run(tmp_path / "mlruns" / "mlflow.db", summary["run_id"])
    assert found["status"] == "FINISHED"
    assert [step for step, _ in found["metrics"]["train/loss"]] == list(range(1, 401))


def _wait(condition, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "the training ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.02)
