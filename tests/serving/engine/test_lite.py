"""TensorFlow Lite models: answers, signatures and refusals, against the interpreter and closed forms."""

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import flatbuffers
import numpy as np
import pytest
import tensorflow as tf
from flatbuffers import flexbuffers
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.lite.python import schema_py_generated as schema

from serving.client.client import Client
from serving.config import Options
from serving.engine.batching.joining import Joiner
from serving.engine.lite import FILE, LiteServable
from serving.errors import DataLoss, InvalidArgument
from serving.server import flags
from serving.server.server import Server

pytestmark = pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")


class Product(tf.Module):
    """A matrix product, and which column of it is the largest."""

    def __init__(self):
        super().__init__()
        self.weights = tf.constant(np.random.default_rng(3).normal(size=(4, 3)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def call(self, x):
        y = tf.matmul(x, self.weights)
        return {"y": y, "best": tf.argmax(y, 1)}


@pytest.fixture(scope="module")
def product():
    return Product()


@pytest.fixture(scope="module")
def base(product, tmp_path_factory):
    """Version 1 as converted, version 2 with signatures in its metadata, version 3 a SavedModel alone."""
    base = tmp_path_factory.mktemp("lite")
    tf.saved_model.save(product, str(base / "3"), signatures={"serving_default": product.call})
    content = tf.lite.TFLiteConverter.from_saved_model(str(base / "3")).convert()
    for version, written in ((1, content), (2, with_signatures(content))):
        (base / str(version)).mkdir()
        (base / str(version) / FILE).write_bytes(written)
    return base


def with_signatures(content: bytes) -> bytes:
    """Write two SignatureDefs into a file's metadata, as the converter of TensorFlow Serving's tests did."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    subgraph = model.subgraphs[0]
    names = [subgraph.tensors[place].name.decode() for place in (*subgraph.inputs, *subgraph.outputs)]
    kinds = {schema.TensorType.FLOAT32: 1, schema.TensorType.INT64: 9}
    floats = {
        name: kinds[tensor.type]
        for name in names
        for tensor in subgraph.tensors
        if tensor.name.decode() == name
    }
    (given,), (y, best) = names[:1], sorted(names[1:], key=lambda name: floats[name])
    both, one = (meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict") for _ in range(2))
    for signature, outputs in ((both, {"scores": y, "winner": best}), (one, {"winner": best})):
        signature.inputs["row"].name, signature.inputs["row"].dtype = given, 1
        for alias, name in outputs.items():
            signature.outputs[alias].name, signature.outputs[alias].dtype = name, floats[name]
    both.inputs["row"].tensor_shape.dim.add(size=-1)  # whose bytes are no text
    packed = flexbuffers.Builder()
    # Python's builder writes strings of text alone: room of the same length is filled afterwards.
    with packed.Map():
        for key, signature in (("serving_default", both), ("winner", one)):
            packed.Key(key)
            packed.String(key[0] * signature.ByteSize())
    content = bytes(packed.Finish())
    for letter, signature in ((b"s", both), (b"w", one)):
        content = content.replace(letter * signature.ByteSize(), signature.SerializeToString())
    buffer, metadata = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(content, np.uint8)
    metadata.name, metadata.buffer = b"signature_defs_metadata", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), metadata]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.fixture(scope="module")
def options(base):
    text = f'model_config_list {{ config {{ name: "product" base_path: "{base}" model_platform: "tensorflow" '
    (base / "models.config").write_text(text + "model_version_policy { all {} } } }")
    return Options(port=0, rest_port=0, model_config_file=base / "models.config", prefer_tflite=True)


@pytest.fixture(scope="module")
def server(options):
    with Server(options) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with Client(server.target) as made:
        yield made


def rows(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, 4)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 3, 8, 2])
def test_a_file_answers_as_the_interpreter_and_the_saved_model_for_any_number_of_rows(
    client, base, product, count
):
    x = rows(count)
    expected = product.call(tf.constant(x))
    runner = tf.lite.Interpreter(model_path=str(base / "1" / FILE)).get_signature_runner()
    assert np.array_equal(runner(x=x)["best"], expected["best"])
    inputs = client.metadata("product", version=1).signature().inputs
    assert list(inputs) == ["serving_default_x"]
    answer = client.predict("product", version=1, serving_default_x=x)
    (y,) = (value for value in answer.values() if value.dtype == np.float32)
    (best,) = (value for value in answer.values() if value.dtype == np.int64)
    assert np.array_equal(y, runner(x=x)["y"])
    np.testing.assert_allclose(y, x @ product.weights.numpy(), rtol=1e-5, atol=1e-6)
    assert np.array_equal(best, expected["best"])
    # The version without a file of the kind is served as a SavedModel.
    np.testing.assert_allclose(client.predict("product", version=3, x=x)["y"], y, rtol=1e-5, atol=1e-6)


def test_signatures_of_the_metadata_name_inputs_and_outputs_over_grpc_and_rest(server, client, product):
    x = rows(3)
    expected = x @ product.weights.numpy()
    answer = client.predict("product", version=2, row=x)
    assert sorted(answer) == ["scores", "winner"]
    np.testing.assert_allclose(answer["scores"], expected, rtol=1e-5, atol=1e-6)
    body = json.dumps({"signature_name": "winner", "instances": x.tolist()}).encode()
    url = f"http://{server.rest_target}/v1/models/product/versions/2:predict"
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as response:
        assert json.load(response) == {"predictions": expected.argmax(1).tolist()}


def test_a_request_that_does_not_fit_is_refused_and_harms_no_other(base, product):
    model = LiteServable("product", 1, base / "1", 1)
    given, wanted = (
        "serving_default_x:0",
        [info.name for info in model.signatures["serving_default"].outputs.values()],
    )
    for bad in (rows(2).astype(np.float64), rows(2)[:, :3], rows(2)[0]):
        with pytest.raises(InvalidArgument):
            model.run({given: bad}, wanted)
    with ThreadPoolExecutor(4) as pool:
        runs = {count: pool.submit(model.run, {given: rows(count)}, wanted) for count in (5, 1, 5, 7)}
        for count, run in runs.items():
            (best,) = (value for value in run.result(30) if value.dtype == np.int64)
            assert np.array_equal(best, (rows(count) @ product.weights.numpy()).argmax(1))
    assert len(model._idle) == 1
    # Rows of several requests can share a run.
    assert Joiner(model)._can_join({given: rows(2)}, wanted)
    model.close()


def test_text_passes_whole(tmp_path):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def same(text):
        return {"same": tf.reshape(text, [-1, 1])}

    content = tf.lite.TFLiteConverter.from_concrete_functions([same.get_concrete_function()]).convert()
    (tmp_path / FILE).write_bytes(content)
    model = LiteServable("text", 1, tmp_path)
    signature = model.signatures["serving_default"]
    (given,), (wanted,) = signature.inputs.values(), signature.outputs.values()
    assert (given.dtype, wanted.dtype) == (7, 7)
    text = np.array([b"ab", b"", b"c\x00\xff\x00"], object)
    (answer,) = model.run({given.name: text}, [wanted.name])
    assert answer.tolist() == [[value] for value in text]
    model.close()


def test_a_damaged_file_fails_to_load_and_says_so(base, tmp_path):
    for content in (b"", b"no model", (base / "1" / FILE).read_bytes()[:200]):
        (tmp_path / FILE).write_bytes(content)
        with pytest.raises(DataLoss, match="Cannot load the TFLite model"):
            LiteServable("broken", 1, tmp_path)


def test_without_the_flag_a_version_needs_a_saved_model(options):
    with Server(replace(options, prefer_tflite=False, rest_port=None, max_load_retries=0)) as server:
        states = server._core.monitor.versions("product")
        assert {version: not state.message for version, state in states.items()} == {
            1: False,
            2: False,
            3: True,
        }
    parsed = flags.parse(["--model_base_path=/m", "--prefer_tflite_model=true", "--num_tflite_pools=3"])
    assert (parsed.options.prefer_tflite, parsed.options.tflite_interpreters) == (True, 3)
