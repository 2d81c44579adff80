"""The exported SavedModel: signatures, labels, parity, warmup, and what happens when it cannot be written."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from features.errors import ExportError, StorageError
from features.images import check
from models.export import export, savedmodel
from models.tasks.image_classification import IMAGE_CLASSIFICATION as TASK
from models.training import determinism
from tests.faults import corpus
from tests.models import toys


@pytest.fixture(scope="module")
def trained(raws):
    """A network whose weights, and statistics of batch norm, have moved; it tells half from half."""
    determinism.fix(0)
    network, noise = toys.network(), np.random.default_rng(0)
    for variable in network.model.variables:
        if variable.dtype == "float32":
            variable.assign_add(noise.uniform(0, 0.5, variable.shape))
    logits = network.model(network.featurizer(tf.constant(raws))).numpy()
    network.model.trainable_variables[-1].assign_sub(np.median(logits, axis=0))
    return network


@pytest.fixture(scope="module")
def raws() -> list[bytes]:
    """72 examples: the toys' test split, and files of every format."""
    frame = toys.dataset().frame
    return [
        *frame[frame["split"] == "test"]["content"],
        *[check.plain(case.data) for case in corpus.good()[::5]],
    ]


@pytest.fixture(scope="module")
def exported(trained, raws, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "1"
    export.export(trained, TASK, toys.LABELS, folder, warmup=raws[:3], model_name="toys")
    return folder


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported))


def test_signatures_have_named_inputs_and_outputs_with_a_batch_axis(loaded):
    images, classes = ("image_bytes", (None,), "string"), {"label", "score", "scores", "labels"}
    further = [("label", (None,), "string"), ("patch", (None,), "int32"), ("stride", (None,), "int32")]
    mapped = {"heatmap", "rows", "columns", "label", "score", "seen_bytes"}
    expected = {
        "serving_default": ({images}, classes),
        "embed": ({images}, {"embedding"}),
        "from_pixels": ({("pixels", (None, 8, 8, 3), "float32")}, classes),
        "occlusion": ({images, *further, ("fill", (None,), "float32")}, mapped | {"patch", "stride"}),
        "grad_cam": ({images, further[0]}, mapped),
    }
    assert set(loaded.signatures) == set(expected)
    for name, (taken, given) in expected.items():
        signature = loaded.signatures[name]
        inputs = signature.structured_input_signature[1].items()
        assert {(name, tuple(spec.shape), spec.dtype.name) for name, spec in inputs} == taken
        assert set(signature.structured_outputs) == given
        for output in signature.structured_outputs.values():
            assert output.shape.rank >= 1
            assert output.shape[0] is None


@pytest.fixture(scope="module")
def ours(trained, raws):
    """What the training graph answers."""
    return export.predict(trained, TASK, toys.LABELS, raws, batch_size=16)


def test_training_graph_and_savedmodel_agree(trained, ours, loaded, raws):
    assert len(raws) >= 64
    theirs = loaded.signatures["serving_default"](image_bytes=tf.constant(raws))
    assert np.abs(ours["scores"] - theirs["scores"].numpy()).max() <= 1e-5
    np.testing.assert_array_equal(ours["label"], theirs["label"].numpy())
    assert {*ours["label"]} == {b"blue", b"red"}
    one_by_one = export.predict(trained, TASK, toys.LABELS, raws, batch_size=1)
    assert np.abs(ours["scores"] - one_by_one["scores"]).max() <= 1e-5


def test_outputs_are_the_softmax_of_the_model_with_its_labels(trained, loaded, raws):
    pixels = trained.featurizer(tf.constant(raws))
    logits = trained.model(pixels, training=False).numpy().astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    answer = {k: v.numpy() for k, v in loaded.signatures["from_pixels"](pixels=pixels).items()}
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-6)
    np.testing.assert_allclose(answer["score"], expected.max(-1), atol=1e-6)
    assert answer["label"].tolist() == [toys.LABELS[best].encode() for best in expected.argmax(-1)]
    assert answer["labels"].tolist() == [[b"blue", b"red"]] * len(raws)
    embedding = loaded.signatures["embed"](image_bytes=tf.constant(raws))["embedding"].numpy()
    np.testing.assert_allclose(embedding, trained.embed(pixels, training=False), atol=1e-6)
    kernel, bias = trained.model.trainable_variables[-2:]
    np.testing.assert_allclose(embedding @ kernel.numpy() + bias.numpy(), logits, atol=1e-5)


def test_variables_are_written_once(trained, exported):
    written = tf.train.list_variables(str(exported / "variables" / "variables"))
    sizes = [np.prod(shape, dtype=int) for name, shape in written if "OBJECT_GRAPH" not in name]
    assert sum(sizes) == sum(int(np.prod(v.shape)) for v in trained.model.variables)


def test_warmup_records_ask_for_serving_default(exported, raws, loaded):
    records = list(tf.data.TFRecordDataset(str(exported / export.WARMUP)).as_numpy_iterator())
    assert len(records) == 3
    for record, raw in zip(records, raws, strict=False):
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        assert (request.model_spec.name, request.model_spec.signature_name) == ("toys", "serving_default")
        tensor = tf.make_ndarray(request.inputs["image_bytes"])
        assert tensor.tolist() == [raw]
        loaded.signatures["serving_default"](image_bytes=tf.constant(tensor.tolist()))


def test_a_plain_process_without_our_code_answers_the_same(exported, ours, raws):
    code = (
        "import sys, tensorflow as tf; m = tf.saved_model.load(sys.argv[1]); "
        "raws = [bytes.fromhex(line.strip()) for line in sys.stdin]; "
        "print(m.signatures['serving_default'](image_bytes=tf.constant(raws))['scores'].numpy().tolist()); "
        "assert not {'features', 'models'} & set(sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(exported)], input="\n".join(raw.hex() for raw in raws[:8]),
        capture_output=True, text=True, timeout=120, check=False, cwd="/",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-1500:]
    scores = np.array(json.loads(ended.stdout))
    np.testing.assert_allclose(scores, ours["scores"][:8], atol=1e-5)


def test_no_op_of_the_export_is_forbidden(exported):
    assert savedmodel.forbidden(exported) == []


# -- E5, E6, E7 -----------------------------------------------------------------------------------


@pytest.fixture
def file_limit():
    """Let no file grow beyond a limit, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def wide():
    """A network with a large file of variables, and its signatures."""
    network = toys.network({**toys.CNN, "dense": [4000, 200]})
    return network, export.signatures(network, TASK, toys.LABELS)


@pytest.mark.parametrize("limit", [20_000, 1_200_000], ids=["early", "late"])
def test_e5_a_full_disk_leaves_nothing(wide, tmp_path, file_limit, limit):
    network, functions = wide
    neighbour = tmp_path / "1" / "saved_model.pb"
    neighbour.parent.mkdir()
    neighbour.write_bytes(b"old")
    file_limit(limit)
    with pytest.raises(StorageError, match="Free some space and repeat") as error:
        export.export(network, TASK, toys.LABELS, tmp_path / "2", warmup=[], functions=functions)
    assert error.value.exit_code == 74
    assert sorted(tmp_path.rglob("*")) == [neighbour.parent, neighbour]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_e6_weights_that_are_not_finite_are_refused(tmp_path, value):
    network = toys.network()
    variable = network.model.trainable_variables[0]
    weights = variable.numpy()
    weights.flat[:3] = value
    variable.assign(weights)
    with pytest.raises(ExportError, match="not finite; got 3 NaN or infinite values") as error:
        export.export(network, TASK, toys.LABELS, tmp_path / "1", warmup=[])
    assert error.value.exit_code == 73
    assert variable.path in str(error.value)
    assert list(tmp_path.iterdir()) == []


def save(folder: Path, function) -> Path:
    module = tf.Module()
    module.answer = tf.function(function, input_signature=[tf.TensorSpec([None], tf.string)])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.answer})
    return folder


def _reads(names):
    return {"content": tf.map_fn(tf.io.read_file, names)}


def _writes(names):
    with tf.control_dependencies([tf.io.write_file("/tmp/servable-owned", names[0])]):
        return {"content": tf.identity(names)}


def _runs_python(names):
    return {"content": tf.ensure_shape(tf.numpy_function(lambda x: x, [names], tf.string), [None])}


def _too_young(names):
    return {"content": tf.map_fn(lambda x: tf.cast(tf.io.decode_webp(x), tf.uint8), names, tf.uint8)}


@pytest.mark.parametrize(
    ("function", "op"),
    [(_reads, "ReadFile"), (_writes, "WriteFile"), (_runs_python, "PyFunc"), (_too_young, "DecodeWebP")],
)
def test_e7_ops_a_server_must_not_run_are_named(tmp_path, function, op):
    folder = save(tmp_path / "model", function)
    found = savedmodel.forbidden(folder)
    assert any(one.startswith(f"{op} (") for one in found), found
    assert savedmodel.forbidden(folder, allow={one.partition(" ")[0] for one in found}) == []


def test_e7_a_hub_module_that_reads_files_is_found_in_the_export(tmp_path):
    class Spy(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32)])
        def __call__(self, images):
            stolen = tf.strings.length(tf.io.read_file("/etc/hostname"))
            return tf.reduce_mean(images, [1, 2]) + tf.cast(stolen, tf.float32)

    module = Spy()
    module.weight = tf.Variable(1.0)
    tf.saved_model.save(module, str(tmp_path / "spy"))
    network = toys.network({"kind": "hub", "backbone": str(tmp_path / "spy")})
    export.export(network, TASK, toys.LABELS, tmp_path / "1", warmup=[])
    assert [one.partition(" ")[0] for one in savedmodel.forbidden(tmp_path / "1")] == ["ReadFile"]


def test_savers_are_allowed_where_tensorflow_puts_them_alone(tmp_path):
    def restores(names):
        return {"content": tf.raw_ops.RestoreV2(
            prefix="x", tensor_names=names, shape_and_slices=names, dtypes=[tf.string]
        )[0]}  # fmt: skip

    found = savedmodel.forbidden(save(tmp_path / "model", restores))
    assert [one.partition(" ")[0] for one in found] == ["RestoreV2"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe no model", None])
def test_a_file_that_is_no_savedmodel(tmp_path, content):
    if content is not None:
        (tmp_path / "saved_model.pb").write_bytes(content)
    if content == b"":
        assert savedmodel.ops(tmp_path) == set()
        return
    with pytest.raises(ExportError, match=r"saved_model\.pb cannot be read"):
        savedmodel.ops(tmp_path)
