"""What is named as a backbone and cannot be one: a sentence with a way out, and never exit code 70."""

import hashlib
import io
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.errors import AccessError, ConfigError, DataError, NoInputError, ServableError, UnavailableError
from flows import cli
from flows.workspace import Workspace
from models.pretrained import applications, hub_modules, word_vectors
from models.pretrained.hub import HubLayer
from tests import golden
from tests.models import toys

#: h5py hands NumPy's new keyword on to Keras variables, which do not take it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TASK = "image-classification"
DEAD = "http://127.0.0.1:9/module/1"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden.images(tmp_path_factory.mktemp("photos") / "data")


def trained(
    capsys: pytest.CaptureFixture[str], photos: Path, workspace: Path, *arguments: str
) -> tuple[int, str]:
    """Train in this process; give the exit code and the last line of standard error."""
    line = ["train", TASK, "--data", str(photos), "--name", "x", "--local", "--workspace", str(workspace)]
    with pytest.raises(SystemExit) as left:
        cli.main([*line, *arguments])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return int(left.value.code or 0), captured.err.splitlines()[-1]


def test_a_tf1_hub_module_is_named_as_one(
    cases: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = cases / "backbone-errors" / "tf1_module"
    code, line = trained(capsys, photos, tmp_path / "w", "--set", f"model.backbone={module}")
    assert code == 66
    assert "got a TF1 hub module" in line
    assert "Choose the TF2 version of the module" in line


def test_keras_weights_without_network_are_a_service_that_is_away(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Keras's own download, from an address of this machine that nobody listens on.
    module = sys.modules[keras.applications.MobileNetV2.__module__]
    monkeypatch.setattr(module, "BASE_WEIGHT_PATH", "http://127.0.0.1:9/")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    size = ("--set", "featurizer.height=96", "--set", "featurizer.width=96")
    code, line = trained(capsys, photos, tmp_path / "w", "--recipe", "keras", *size)
    assert code == 69
    for word in ("ImageNet weights of MobileNetV2", "model.weights=PATH", "model.weights=null"):
        assert word in line


def test_tfhub_cache_dir_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path / "w")
    assert workspace.hub == tmp_path / "w" / "hub"
    monkeypatch.setenv("TFHUB_CACHE_DIR", "")
    assert workspace.hub == tmp_path / "w" / "hub"
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    assert workspace.hub == tmp_path / "cache"


@pytest.mark.proof
def test_a_module_of_tfhub_cache_dir_is_trained_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, cache = Workspace(tmp_path / "w"), tmp_path / "cache"
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(cache))
    toys.save_module(cache / hashlib.sha1(DEAD.encode()).hexdigest())
    small = [part for key in ("epochs=1", "towers=1") for part in ("--set", f"training.{key}")]
    # The gate's floor cannot be reached: the module was loaded and trained on, and nothing is published.
    floor = ("--set", "gate.min_metric=2", "--set", f"model.backbone={DEAD}")
    code, line = trained(capsys, photos, workspace.root, *small, *floor)
    assert (code, "at least 2.0000" in line) == (73, True), line
    assert not (workspace.root / "hub").exists()


def module_with(folder: Path, function: object) -> Path:
    module = tf.Module()
    module.__call__ = function
    tf.saved_model.save(module, str(folder))
    return folder


def spec(*shape: int | None, dtype: tf.DType = tf.float32) -> tf.TensorSpec:
    return tf.TensorSpec(shape, dtype)


def pooled(*specs: tf.TensorSpec) -> object:
    return tf.function(
        lambda *inputs: tf.reduce_mean(tf.cast(inputs[0], tf.float32), [1, 2]), input_signature=specs
    )


#: Modules that are SavedModels in TF2 form, and what is said of them.
UNFIT = {
    "uint8": (pooled(spec(None, 8, 8, 3, dtype=tf.uint8)), "uint8"),
    "float16": (pooled(spec(None, 8, 8, 3, dtype=tf.float16)), "float16"),
    "one at a time": (pooled(spec(1, 8, 8, 3)), "(1, 8, 8, 3)"),
    "grey": (pooled(spec(None, 8, 8, 1)), "(None, 8, 8, 1)"),
    "two inputs": (pooled(spec(None, 8, 8, 3), spec(None, 4)), "float32 (None, 4)"),
    "any rank": (
        tf.function(lambda x: tf.reduce_mean(x, [1, 2]), input_signature=[tf.TensorSpec(None, tf.float32)]),
        "<unknown>",
    ),
    "maps": (tf.function(lambda x: x, input_signature=[spec(None, 8, 8, 3)]), "[8, 8, 3]"),
    "two outputs": (
        tf.function(lambda x: {"a": x, "b": x}, input_signature=[spec(None, 8, 8, 3)]),
        "more than one output",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_modules_that_take_or_give_something_else(tmp_path: Path, name: str) -> None:
    function, words = UNFIT[name]
    folder = module_with(tmp_path / "module", function)
    with pytest.raises(ConfigError) as error:
        toys.network({"kind": "hub", "backbone": str(folder)}, size=None)
    assert words in str(error.value)
    assert "hoose" in str(error.value)


def test_a_saved_model_without_a_callable_says_what_it_has(tmp_path: Path) -> None:
    function = tf.function(lambda x: {"y": x}, input_signature=[spec(None, 4)])
    module = tf.Module()
    module.serve = function
    tf.saved_model.save(module, str(tmp_path / "plain"), signatures={"serving_default": module.serve})
    with pytest.raises(ConfigError, match="without a callable but with signatures"):
        HubLayer(str(tmp_path / "plain"))


def _keras_file(folder: Path) -> Path:
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(folder / "model.keras")
    return folder / "model.keras"


def _weights(folder: Path) -> Path:
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(folder / "a.weights.h5")
    return (folder / "a.weights.h5").rename(folder / "backbone")


def _file(name: str, content: bytes):
    def make(folder: Path) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return make


def _folder_with(name: str):
    def make(folder: Path) -> Path:
        return _file(f"module/{name}", b"{}")(folder).parent

    return make


def _versions(folder: Path) -> Path:
    toys.save_module(folder / "module" / "1")
    return folder / "module"


def _empty(folder: Path) -> Path:
    (folder / "module").mkdir()
    return folder / "module"


def _archive(folder: Path) -> Path:
    with tarfile.open(folder / "module.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("saved_model.pb"), io.BytesIO(b""))
    return folder / "module.tar.gz"


#: What a path may hold instead of a module, and what is said of it.
OTHERS = {
    "keras file": (_keras_file, ["a Keras file", "model.export(FOLDER)"]),
    "hdf5 without an ending": (_weights, ["a Keras file"]),
    "tflite": (_file("m.tflite", b"\x1c\0\0\0TFL3"), ["a TFLite model", "TF2 SavedModel"]),
    "tflite by content": (_file("m", b"\x1c\0\0\0TFL3"), ["a TFLite model"]),
    "folder of tflite": (_folder_with("1.tflite"), ["a TFLite model"]),
    "tf.js": (_folder_with("model.json"), ["a TF.js model", "TF2 SavedModel"]),
    "tf1 without a graph": (_folder_with("tfhub_module.pb"), ["a TF1 hub module"]),
    "archive": (_archive, ["an archive", "unpack it"]),
    "graph itself": (_file("module/saved_model.pb", b""), ["name the folder"]),
    "versions": (_versions, ["a folder of modules", "module/1"]),
    "empty": (_empty, ["an empty folder"]),
    "another folder": (_folder_with("x.txt"), ["another folder"]),
    "nothing": (lambda folder: folder / "nowhere", ["does not exist"]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_path_without_a_module_says_what_it_holds(tmp_path: Path, name: str) -> None:
    make, words = OTHERS[name]
    path = make(tmp_path)
    with pytest.raises(NoInputError, match="no hub module in this folder") as error:
        HubLayer(str(path))
    assert error.value.exit_code == 66
    for word in words:
        assert word.casefold() in str(error.value).casefold()


@pytest.mark.parametrize(
    ("handle", "kind", "words"),
    [
        ("tfhub.dev/google/imagenet/mobilenet_v2/feature_vector/5", NoInputError, "Put https:// before it"),
        ("google/mobilenet-v2/tensorFlow3/100-224", NoInputError, "check the path or the handle"),
        ("htps://tfhub.dev/google/x/1", ConfigError, "begins with https://"),
        ("https:/tfhub.dev/google/x/1", NoInputError, "does not exist"),
        ("http://127.0.0.1:9/google/x/1", UnavailableError, "--set model.backbone=PATH"),
        ("http://no.such.host.invalid/google/x/1", UnavailableError, "--set model.backbone=PATH"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_handle_with_a_typo(tmp_path: Path, handle: str, kind: type[ServableError], words: str) -> None:
    with pytest.raises(kind) as error:
        hub_modules.resolve(handle, tmp_path)
    assert words.casefold() in str(error.value).casefold()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "half a graph": lambda module: _cut(module / "saved_model.pb"),
    "no graph": lambda module: (module / "saved_model.pb").write_bytes(b""),
    "text": lambda module: (module / "saved_model.pb").write_text("this is no graph"),
    "half the weights": lambda module: _cut(module / "variables" / "variables.data-00000-of-00001"),
    "no weights": lambda module: (module / "variables" / "variables.index").unlink(),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_module_is_bad_data(tmp_path: Path, name: str) -> None:
    module = toys.save_module(tmp_path / "module")
    DAMAGES[name](module)
    with pytest.raises(DataError, match=r"cannot be loaded.*Download or copy it again"):
        HubLayer(str(module))


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AccessError, match="TFHUB_CACHE_DIR"):
        hub_modules.resolve(DEAD, tmp_path / "file" / "cache")


@pytest.mark.parametrize(
    ("name", "near"),
    [("MobileNetv2", "MobileNetV2"), ("resnet-50", "ResNet50"), ("EfficentNetB0", "EfficientNetB0")],
)
def test_a_keras_network_of_nearly_this_name_is_suggested(name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"Did you mean .*\b{near}\b") as error:
        applications.application(name, None, (32, 32, 3))
    assert error.value.exit_code == 78


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"\x89HDF\r\n\x1a\n"])
def test_a_file_without_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.weights.h5"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot build MobileNet"):
        applications.application("MobileNet", str(path), (32, 32, 3))


def test_the_answer_of_a_free_module_is_unchanged(tmp_path: Path) -> None:
    folder = module_with(tmp_path / "module", pooled(spec(None, None, None, 3)))
    pixels = np.random.default_rng(0).random((2, 6, 5, 3), np.float32)
    np.testing.assert_allclose(HubLayer(str(folder))(pixels), pixels.mean((1, 2)), rtol=1e-5)


def test_an_image_module_gives_no_word_vectors(tmp_path: Path) -> None:
    folder = toys.save_module(tmp_path / "module")
    with pytest.raises(ConfigError, match="no word vectors"):
        word_vectors.load(str(folder), ["a", "b"], SimpleNamespace(hub=tmp_path))  # type: ignore[arg-type]
