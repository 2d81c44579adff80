"""``servable monitor`` on a real training: its own examples, darker ones, and a log of requests."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageEnhance

from flows import cli
from flows.commands.predicting.monitor import DRIFT
from flows.monitoring import monitor as monitoring
from flows.monitoring.observation import sampled
from flows.tracking.store.mlflow_store import Ledger
from flows.tracking.tracking import tracking_uri
from flows.workspace import Workspace
from models.monitoring import measures
from serving.client.client import Client
from serving.config import Options
from serving.repository.repository import Repository
from serving.server.server import Server
from tests.trained import Trained


@pytest.fixture(scope="module")
def place(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of the workspace and its MLflow database: other tests look at the run as it was."""
    return trained.copy(tmp_path_factory.mktemp("monitor")).workspace


@pytest.fixture(scope="module")
def photos(trained: Trained) -> list[Path]:
    return [file for file in sorted(trained.data.rglob("*")) if file.suffix in (".png", ".jpg")]


@pytest.fixture(scope="module")
def dark(photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training examples at a third of their brightness, and a file that is no image, as an archive."""
    folder = tmp_path_factory.mktemp("dark")
    for number, photo in enumerate(photos):
        with Image.open(photo) as opened:
            ImageEnhance.Brightness(opened.convert("RGB")).enhance(0.3).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no image")
    return Path(shutil.make_archive(str(folder), "zip", folder))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(left.value.code or 0), captured.out, captured.err


def metrics(place: Workspace, run_id: str) -> dict[str, Any]:
    """Return what MLflow holds of a run."""
    return dict(Ledger(tracking_uri(place), place.mlruns).client.get_run(run_id).data.metrics)


def test_the_training_examples_have_not_drifted(capsys, place: Workspace, trained: Trained) -> None:
    code, text, _ = run(
        capsys, "monitor", "golden", "--data", trained.data, "--workspace", place.root, "--quiet"
    )
    assert code == 0
    assert "no drift in" in text
    for measure in ("brightness", "contrast", "sharpness", "answer score", "answer label"):
        assert measure in text


def test_darker_images_have_drifted(
    capsys, place: Workspace, trained: Trained, dark: Path, photos: list[Path], tmp_path: Path
) -> None:
    page = tmp_path / "drift.html"
    arguments = ("monitor", "golden@1", "--data", dark, "--workspace", place.root, "--html", page, "--json")
    code, text, notes = run(capsys, *arguments)
    assert code == DRIFT
    shown = json.loads(text)
    found = {one["measure"]: one for one in shown["measures"]}
    assert shown["drift"]
    assert found["brightness"]["drifted"]
    assert found["brightness"]["psi"] > 0.25
    assert not found.get("megapixels", {"drifted": False})["drifted"]
    assert (shown["examples"], shown["refused"]) == (len(photos), 1)
    assert "1 inputs could not be answered" in notes
    html = page.read_text("utf-8")
    assert "Drift in brightness" in html
    assert html.count("data:image/png") >= monitoring.SHOWN
    refused = re.sub(r"<[^>]*>", "", html.partition("Refused inputs")[2])
    assert "broken.png" in refused
    logged = metrics(place, released(place))
    assert logged["drift/psi/brightness"] == pytest.approx(found["brightness"]["psi"])
    assert logged["drift/examples"] == len(photos)


def released(place: Workspace) -> str:
    """Return MLflow's id of the run behind version 1."""
    return str(Repository(place.repository).release("golden", 1).manifest["run_id"])


def test_a_request_log_is_live_data(place: Workspace, photos: list[Path], tmp_path: Path) -> None:
    log = tmp_path / "requests.tfrecord"
    options = Options(port=0, repository=place.repository, request_log=log, request_log_share=1.0)
    with Server(options) as server, Client(server.target) as client:
        contents = [photo.read_bytes() for photo in photos]
        for start in range(0, len(contents), 8):
            client.predict("golden", image_bytes=contents[start : start + 8])
    outcome = monitoring.monitor(place, monitoring.Watch("golden", str(log)))
    assert len(outcome.live.requests) == len(photos)
    assert not outcome.drifted
    sent = [measures.image(content)["brightness"] for content in contents]
    assert outcome.live.table["brightness"].tolist() == pytest.approx(sent, abs=1e-3)


def test_what_cannot_be_monitored(capsys, place: Workspace, photos: list[Path], tmp_path: Path) -> None:
    for data, code, words in (
        (tmp_path / "none", 66, "do not exist"),
        (photos[0], 65, "too few live examples"),
    ):
        status, _, error = run(capsys, "monitor", "golden", "--data", data, "--workspace", place.root)
        assert (status, words in error) == (code, True), error
    status, _, error = run(capsys, "monitor", "goldn", "--data", photos[0], "--workspace", place.root)
    assert (status, "golden" in error) == (66, True), error


def test_of_too_many_examples_some_are_chosen_at_random() -> None:
    chosen, count = sampled(iter(range(1000)), 100)
    assert count == 1000
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 100
    # The mean of 100 of the numbers below 1,000 has a deviation of 27.
    assert sum(chosen) / 100 == pytest.approx(499.5, abs=110)
    assert sampled(iter("abc"), 5) == (["a", "b", "c"], 3)
