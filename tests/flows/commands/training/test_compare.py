"""``servable compare`` on a real training and a copy of it that answers otherwise."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from flows import cli
from flows.runs.directory import RunDirectory
from flows.workspace import Workspace
from tests.trained import Trained


@pytest.fixture(scope="module")
def place(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a model and an unpublished run that takes every example for the other class."""
    workspace = trained.copy(tmp_path_factory.mktemp("compare")).workspace
    source = workspace.runs("golden") / trained.run.path.name
    other = RunDirectory(workspace.runs("golden") / "other-1")
    shutil.copytree(source, other.path)
    np.save(other.outputs, np.load(other.outputs)[:, ::-1])
    other.record(version=None)
    return workspace


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(left.value.code or 0), captured.out, captured.err


def test_the_better_model_is_named_with_its_margin(
    capsys, place: Workspace, trained: Trained, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    code, text, _ = output(
        capsys, "compare", "golden/other-1", "golden", "--workspace", place.root, "--html", page, "--json"
    )
    assert code == 0
    shown = json.loads(text)
    accuracy = trained.summary["metrics"]["test/accuracy"]
    main = shown["metrics"][0]
    assert main["metric"] == "test/accuracy"
    assert (main["first"], main["second"]) == pytest.approx((1 - accuracy, accuracy))
    assert shown["verdict"].startswith("golden is better")
    assert len(shown["disagreements"]) == shown["examples"] == trained.summary["metrics"]["test/examples"]
    html = page.read_text(encoding="utf-8")
    assert "golden is better" in html
    assert html.count("data:image/") >= shown["examples"] - 1
    _, text, _ = output(capsys, "compare", "golden/other-1", "golden", "--workspace", place.root)
    assert "test/accuracy" in text
    assert f"{shown['examples']} disagreements" in text


def test_a_model_that_was_measured_on_other_data_answers_anew(
    capsys, place: Workspace, trained: Trained
) -> None:
    run = RunDirectory(place.runs("golden") / trained.run.path.name)
    kept = run.outputs.read_bytes()
    run.outputs.unlink()
    try:
        _, text, _ = output(
            capsys, "compare", "golden", "golden@1", "--workspace", place.root, "--json", "--quiet"
        )
    finally:
        run.outputs.write_bytes(kept)
    shown = json.loads(text)
    assert shown["metrics"][0]["second"] == pytest.approx(trained.summary["metrics"]["test/accuracy"])
    assert shown["verdict"] == f"no difference: the same answers to {shown['examples']} examples"


@pytest.mark.parametrize(("second", "words"), [("goldn", "did you mean"), ("golden/none", "no such run")])
def test_what_is_not_there(capsys, place: Workspace, second: str, words: str) -> None:
    code, _, error = output(capsys, "compare", "golden", second, "--workspace", place.root)
    assert code == 66
    assert words in error.lower()
