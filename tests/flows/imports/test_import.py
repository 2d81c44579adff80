"""Foreign models of many kinds: accepted, or refused with the op or the reason; none crashes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from features.errors import DataError, ExportError, NoInputError, UsageError
from flows.imports import publication, source
from flows.imports.__main__ import examine
from flows.runs import releases
from flows.tracking import tracking
from flows.workspace import Workspace
from models.export.export import WARMUP
from serving.inference.local import LocalModel
from serving.repository.repository import Repository
from tests import mlflow_store
from tests.serving import saved_models

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType"),
]


def examined(
    path: Path, example: dict[str, Any] | None = None, *, allow: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Examine a model as the fresh process does."""
    request = {
        "path": str(path),
        "keras": path.is_file(),
        "directory": str(path.parent / f"{path.name}-candidate" / "1"),
        "model": "foreign",
        "example": json.dumps(example) if example else None,
        "allow_ops": list(allow),
    }
    return examine(request)


def refusal(verdict: dict[str, Any]) -> str:
    """Return name and finding of the check that failed; empty if none did."""
    return "; ".join(f"{check['name']}: {check['got']}" for check in verdict["checks"] if not check["passed"])


def module(path: Path, function: Callable, spec: tf.TensorSpec, *, weight: Any = 1.0) -> Path:
    """Save a function of a module with one variable as ``serving_default``."""

    class Module(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = tf.Variable(weight)

        @tf.function(input_signature=[spec])
        def serve(self, x: Any) -> dict[str, Any]:
            return {"y": function(self, x)}

    made = Module()
    tf.saved_model.save(made, str(path), signatures={"serving_default": made.serve})
    return path


FLOATS, TEXTS = tf.TensorSpec([None, 3], tf.float32, name="x"), tf.TensorSpec([None], tf.string, name="x")


def test_a_savedmodel_of_tensorflow_2_is_asked_about_zeros(tmp_path: Path) -> None:
    verdict = examined(saved_models.line(tmp_path / "line"))
    assert refusal(verdict) == ""
    assert verdict["signatures"] == ["serving_default"]
    assert verdict["checks"][-1]["name"] == "live server answers serving_default"
    assert (tmp_path / "line-candidate" / "1" / WARMUP).is_file()


def test_documents_of_an_earlier_publication_stay_behind(tmp_path: Path) -> None:
    path = saved_models.line(tmp_path / "line")
    (path / "assets.extra").mkdir(exist_ok=True)
    documents = ("assets.extra/servable.json", "provenance.json", "model.sig", "MODEL_CARD.md")
    for document in documents:
        (path / document).write_text("{}")
    assert refusal(examined(path)) == ""
    assert not any((tmp_path / "line-candidate" / "1" / document).exists() for document in documents)


def test_a_savedmodel_of_tensorflow_1_with_examples(tmp_path: Path) -> None:
    verdict = examined(saved_models.classic(tmp_path / "classic"))
    assert refusal(verdict) == ""
    assert len(verdict["signatures"]) > 1


def test_many_signatures(tmp_path: Path) -> None:
    assert refusal(examined(saved_models.zoo(tmp_path / "zoo"))) == ""


def test_a_text_form_is_made_binary(tmp_path: Path) -> None:
    from google.protobuf import text_format

    path = saved_models.line(tmp_path / "line")
    model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    (path / "saved_model.pb").unlink()
    (path / "saved_model.pbtxt").write_text(text_format.MessageToString(model))
    assert refusal(examined(path)) == ""


def functional() -> keras.Model:
    inputs = keras.Input([3])
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dense(4, "relu")(inputs)))


def test_a_functional_keras_model_is_exported(tmp_path: Path) -> None:
    model, file = functional(), tmp_path / "model.keras"
    model.save(file)
    assert refusal(examined(file)) == ""
    exported = tf.saved_model.load(str(tmp_path / "model.keras-candidate" / "1"))
    given = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    (answer,) = exported.signatures["serving_default"](tf.constant(given)).values()
    np.testing.assert_allclose(answer, model(given), rtol=1e-5)


def test_a_subclassed_keras_model_is_refused_by_the_name_of_its_class(tmp_path: Path) -> None:
    class Mine(keras.Model):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.dense = keras.layers.Dense(2)

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

    model, file = Mine(), tmp_path / "mine.keras"
    model(np.zeros((1, 3), np.float32))
    model.save(file)
    assert "Mine" in refusal(examined(file))
    # As a SavedModel it needs no class.
    model.export(str(tmp_path / "mine"), verbose=False)
    assert refusal(examined(tmp_path / "mine")) == ""


def test_a_lambda_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / "ran"
    inputs = keras.Input([3])
    outputs = keras.layers.Lambda(
        lambda x: (__import__("pathlib").Path("ran").touch(), x)[1], output_shape=(3,)
    )(inputs)
    file = tmp_path / "model.keras"
    keras.Model(inputs, outputs).save(file)
    marker.unlink(missing_ok=True)
    assert "lambda" in refusal(examined(file)).lower()
    assert not marker.exists()


def test_a_lookup_table_with_its_asset(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("one\ntwo\n")

    class Words(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.asset = tf.saved_model.Asset(str(words))
            lines = tf.lookup.TextFileInitializer(
                self.asset,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            )
            self.table = tf.lookup.StaticHashTable(lines, -1)

        @tf.function(input_signature=[TEXTS])
        def serve(self, x: Any) -> dict[str, Any]:
            return {"y": self.table.lookup(x)}

    made = Words()
    tf.saved_model.save(made, str(tmp_path / "table"), signatures={"serving_default": made.serve})
    verdict = examined(tmp_path / "table", {"inputs": {"x": ["two", "three"]}})
    assert refusal(verdict) == ""
    assert verdict["notes"] == []
    # Without an example nothing can be asked of a text.
    assert "--example" in examined(tmp_path / "table")["notes"][0]


def test_an_example_that_does_not_fit_is_a_refusal(tmp_path: Path) -> None:
    path = saved_models.line(tmp_path / "line")
    assert "answers: " in refusal(examined(path, {"inputs": {"nope": [1]}}))
    assert "signature nope" in refusal(examined(path, {"signature_name": "nope", "instances": [1]}))


def test_ragged_rows_inside(tmp_path: Path) -> None:
    def lengths(_: Any, x: Any) -> Any:
        return tf.strings.split(x).row_lengths()

    assert refusal(examined(module(tmp_path / "ragged", lengths, TEXTS), {"instances": ["a b", "c"]})) == ""


def test_python_inside_is_refused_by_its_op(tmp_path: Path) -> None:
    def python(_: Any, x: Any) -> Any:
        return tf.py_function(lambda value: value * 2, [x], tf.float32)

    path = module(tmp_path / "python", python, FLOATS)
    assert refusal(examined(path)).startswith("ops: EagerPyFunc (")


def test_reading_files_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    def read(_: Any, x: Any) -> Any:
        return tf.map_fn(tf.io.read_file, x)

    path = module(tmp_path / "reader", read, TEXTS)
    assert refusal(examined(path)).startswith("ops: ReadFile (")
    assert refusal(examined(path, allow=("ReadFile",))) == ""


def test_an_op_of_another_library_is_named(tmp_path: Path) -> None:
    path = module(tmp_path / "other", lambda self, x: tf.nn.relu(x) * self.weight, FLOATS)
    content = (path / "saved_model.pb").read_bytes()
    model = saved_model_pb2.SavedModel.FromString(content)
    for function in model.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            node.op = "SentencepieceTokenizeOp" if node.op == "Relu" else node.op
    (path / "saved_model.pb").write_bytes(model.SerializeToString())
    assert refusal(examined(path)).startswith("known ops: SentencepieceTokenizeOp (")


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    path = module(tmp_path / "nan", lambda self, x: x * self.weight, FLOATS, weight=float("nan"))
    assert refusal(examined(path)).startswith("finite weights: weight")


def test_what_no_client_can_call(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "mute"))
    assert refusal(examined(tmp_path / "mute")).startswith("signatures: none")


def test_a_damaged_file(tmp_path: Path) -> None:
    path = saved_models.line(tmp_path / "line")
    (path / "saved_model.pb").write_bytes(b"\xff" * 100)
    assert "cannot be read" in refusal(examined(path))
    (tmp_path / "broken.keras").write_bytes(b"PK nonsense")
    assert refusal(examined(tmp_path / "broken.keras")).startswith("file: ")


@pytest.mark.parametrize(
    ("name", "example", "wanted"),
    [
        ("mobilenet_v1_025_224_classification", None, ""),
        ("glove_twitter_25d_text_embedding", {"instances": ["king", "queen"]}, ""),
        ("basic_pitch", None, ""),
    ],
)
def test_modules_of_tf_hub(
    shared: Path, tmp_path: Path, name: str, example: dict[str, Any] | None, wanted: str
) -> None:
    (tmp_path / name).symlink_to(shared / "hub" / name)
    assert refusal(examined(tmp_path / name, example)) == wanted


def test_sources(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "workspace")
    mlflow_store.database(tmp_path / "mlruns")

    def find(name: object) -> Path:
        return source.find(str(name), workspace, tmp_path / "download").path

    (tmp_path / "empty").mkdir()
    (tmp_path / "model.pkl").touch()
    with pytest.raises(NoInputError, match="does not exist"):
        find(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"no model in .*empty; got other files; expected one SavedModel"):
        find(tmp_path / "empty")
    with pytest.raises(DataError, match=r"got model\.pkl; expected a \.keras file"):
        find(tmp_path / "model.pkl")
    (tmp_path / "empty" / "MLmodel").write_text("flavors: {python_function: {}, sklearn: {}}")
    with pytest.raises(DataError, match="flavors python_function, sklearn"):
        find(tmp_path / "empty")
    with pytest.raises(UsageError, match="expected models:/NAME@ALIAS"):
        find("models:/a/b/c")
    with pytest.raises(NoInputError, match="cannot fetch models:/nobody@champion"):
        find("models:/nobody@champion")


def test_a_registered_model_is_published_served_and_registered_under_its_new_name(tmp_path: Path) -> None:
    """Through the fresh process; a model that it refuses leaves nothing behind."""
    workspace = Workspace.open(tmp_path / "workspace")
    mlflow_store.database(tmp_path / "mlruns")
    with tracking.open_tracking(workspace) as ledger:
        run = ledger.start("elsewhere", run_name="by hand", key="by hand")
        run.register(saved_models.line(tmp_path / "line"), "elsewhere", release=1)
        run.finish()
        ledger.promote("elsewhere", 1)
    done = publication.publish(workspace, "models:/elsewhere@champion", "foreign")
    assert (done["version"], done["signatures"]) == (1, ["serving_default"])
    repository = Repository(workspace.repository)
    assert repository.stable("foreign") == 1
    manifest = repository.release("foreign", 1).manifest
    assert manifest["imported"] == "models:/elsewhere@champion"
    assert all(check["passed"] for check in manifest["gate"]["checks"])
    (row,) = releases.published(workspace)
    assert (row["model"], row["task"], row["stable"]) == ("foreign", "imported", "yes")
    with LocalModel(repository, "foreign") as model:
        assert model.predict("foreign", {"x": [2.0, 4.0]})["y"].tolist() == [3.0, 4.0]
    with tracking.open_tracking(workspace) as ledger:
        assert ledger.champion("foreign")["release"] == 1
    path = module(tmp_path / "reader", lambda _, x: tf.map_fn(tf.io.read_file, x), TEXTS)
    with pytest.raises(ExportError, match=r"the gate refused .*reader: ops; got ReadFile \("):
        publication.publish(workspace, str(path), "reader")
    assert repository.models() == ["foreign"]
    assert not list(workspace.candidates.iterdir())
