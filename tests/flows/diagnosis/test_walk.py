"""A real training, its release and a live server, walked with mistakes planted at each station."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from flows import cli
from flows.runs import finished
from flows.workspace import Workspace
from serving.config import Options
from serving.server.server import Server
from tests.trained import Trained


@pytest.fixture(scope="module")
def place(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return trained.copy(tmp_path_factory.mktemp("diagnosis")).workspace


@pytest.fixture(scope="module")
def server(place: Workspace) -> Iterator[Server]:
    with Server(Options(port=0, model_name="golden", model_base_path=place.repository / "golden")) as running:
        yield running


@pytest.fixture(scope="module")
def photo(trained: Trained) -> Path:
    return next((trained.data / "level").glob("*.png"))


def diagnose(capsys: pytest.CaptureFixture[str], place: Workspace, photo: Path, *arguments: object) -> dict:
    with pytest.raises(SystemExit) as left:
        cli.main(
            ["diagnose", "golden", str(photo), "--workspace", str(place.root), "--json", *map(str, arguments)]
        )
    assert not left.value.code
    return json.loads(capsys.readouterr().out)


def test_all_stages_agree(capsys, place: Workspace, server: Server, photo: Path) -> None:
    found = diagnose(capsys, place, photo, "--target", server.target)
    assert found["first"] is None
    assert [(stage["name"], stage["same"]) for stage in found["stages"]] == [
        ("training", None),
        ("release", True),
        ("server", True),
    ]


def test_a_clients_mistake_is_named_from_tensor_and_from_answer(
    capsys, place: Workspace, photo: Path, tmp_path: Path
) -> None:
    network = finished.find(place, "golden").network()
    pixels = network.featurizer(tf.constant([photo.read_bytes()])).numpy()[0]
    np.save(tmp_path / "wrong.npy", pixels * 255)
    found = diagnose(capsys, place, photo, "--no-server", "--tensor", tmp_path / "wrong.npy")
    assert (found["first"], found["cause"]) == ("client's tensor", "values from 0 to 255")
    # What the network answers to those very pixels is explained by the same mistake.
    scores = tf.nn.softmax(network.model(pixels[np.newaxis] * 255, training=False)).numpy()[0]
    (tmp_path / "answer.json").write_text(json.dumps({"predictions": [{"scores": scores.tolist()}]}))
    found = diagnose(capsys, place, photo, "--no-server", "--answer", tmp_path / "answer.json")
    assert (found["first"], found["cause"]) == ("client's answer", "values from 0 to 255")


@pytest.mark.proof
def test_labels_in_another_order_are_named(capsys, place: Workspace, photo: Path, tmp_path: Path) -> None:
    """As test_what_is_wrong_with_an_answer in test_mistakes, by the command on a real training."""
    network = finished.find(place, "golden").network()
    pixels = network.featurizer(tf.constant([photo.read_bytes()])).numpy()
    right = tf.nn.softmax(network.model(pixels, training=False)).numpy()[0]
    (tmp_path / "answer.json").write_text(json.dumps(right[::-1].tolist()))
    found = diagnose(capsys, place, photo, "--no-server", "--answer", tmp_path / "answer.json")
    assert found["cause"] == "label order"


def test_a_release_with_other_weights_is_where_it_begins(
    capsys, place: Workspace, photo: Path, tmp_path: Path
) -> None:
    shutil.copytree(place.root, tmp_path / "workspace")
    other = Workspace.existing(tmp_path / "workspace")
    prefix = str(other.repository / "golden" / "1" / "variables" / "variables")
    reader = tf.train.load_checkpoint(prefix)
    names = sorted(reader.get_variable_to_dtype_map())
    tensors = [reader.get_tensor(name) for name in names]
    tensors = [value * 1.5 if getattr(value, "ndim", 0) >= 2 else value for value in tensors]
    shutil.rmtree(Path(prefix).parent)
    Path(prefix).parent.mkdir()
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors)
    found = diagnose(capsys, other, photo, "--no-server")
    assert (found["first"], found["cause"]) == ("release", "release differs")
    assert "train again" in found["todo"]


def test_people_read_a_table_and_what_to_do(capsys, place: Workspace, photo: Path) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(
            ["diagnose", "golden", str(photo), "--workspace", str(place.root), "--target", "127.0.0.1:9"]
        )
    assert not left.value.code
    text = capsys.readouterr().out
    assert "none at 127.0.0.1:9" in text
    assert "all stages agree" in text
