"""``servable export``: files that answer as the release does."""

import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

from features.errors import ExportError, NoInputError, UsageError
from features.storage.trees import sha256
from flows.cli import app
from flows.runs import finished
from models.export import formats
from tests.trained import Trained


def exported(trained: Trained, out: Path, *options: str) -> str:
    arguments = [
        "export",
        "golden@1",
        "--out",
        str(out),
        "--workspace",
        str(trained.workspace.root),
        *options,
    ]
    done = CliRunner().invoke(app, arguments, catch_exceptions=True)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout + done.stderr


def release(trained: Trained) -> Path:
    return trained.workspace.repository / "golden" / "1"


def test_a_zip_holds_the_release_file_by_file(trained: Trained, tmp_path: Path) -> None:
    assert "identical" in exported(trained, tmp_path / "golden.zip")
    with zipfile.ZipFile(tmp_path / "golden.zip") as packed:
        packed.extractall(tmp_path / "unpacked")
    for path in release(trained).rglob("*"):
        if path.is_file():
            copy = tmp_path / "unpacked" / path.relative_to(release(trained).parent.parent)
            assert sha256(copy) == sha256(path)


@pytest.mark.filterwarnings("ignore")
def test_litert_answers_pixels_as_the_release_does(trained: Trained, tmp_path: Path) -> None:
    text = exported(trained, tmp_path / "golden.tflite", "--format", "tflite")
    assert "signature from_pixels" in text
    interpreter = tf.lite.Interpreter(model_path=str(tmp_path / "golden.tflite"))
    signature = tf.saved_model.load(str(release(trained))).signatures["from_pixels"]
    pixels = np.random.default_rng(3).uniform(0, 255, (1, 16, 16, 3)).astype(np.float32)
    answer = interpreter.get_signature_runner("from_pixels")(pixels=pixels)
    np.testing.assert_allclose(
        answer["scores"], signature(pixels=tf.constant(pixels))["scores"].numpy(), atol=1e-5
    )


def test_a_keras_file_is_the_network_from_features_to_outputs(trained: Trained, tmp_path: Path) -> None:
    exported(trained, tmp_path / "golden.keras", "--format", "keras")
    loaded = keras.saving.load_model(tmp_path / "golden.keras", compile=False)
    network = finished.find(trained.workspace, "golden", 1).network()
    features = (
        np.random.default_rng(0).uniform(0, 1, (3, *network.model.inputs[0].shape[1:])).astype(np.float32)
    )
    np.testing.assert_allclose(
        loaded(features, training=False), network.model(features, training=False), atol=1e-6
    )


def test_what_litert_cannot_do_is_named(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot be converted for LiteRT"):
        exported(trained, tmp_path / "raw.tflite", "--format", "tflite", "--signature", "serving_default")
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_refused(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "there.zip").touch()
    with pytest.raises(UsageError, match="the file exists"):
        exported(trained, tmp_path / "there.zip")
    with pytest.raises(UsageError, match="--signature applies to --format tflite alone"):
        exported(trained, tmp_path / "new.zip", "--signature", "embed")
    place = str(trained.workspace.root)
    done = CliRunner().invoke(app, ["export", "goldem", "--workspace", place])
    assert isinstance(done.exception, NoInputError)
    assert "did you mean 'golden'?" in str(done.exception).lower()


def test_another_answer_is_no_export() -> None:
    with pytest.raises(ExportError, match=r"a difference of 0\.5 in scores"):
        formats._difference("x", {"scores": np.array([0.5])}, {"scores": np.array([1.0])})
    with pytest.raises(ExportError, match="in label"):
        formats._difference("x", {"label": np.array([b"a"])}, {"label": np.array([b"b"])})
