"""The gRPC server on a real port: values, dtypes, encodings, metadata, status, health, reflection."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from features.errors import ConfigError, UnavailableError
from serving import tensors
from serving.client.client import Client
from serving.config import Options
from serving.server.server import Server
from tests.serving.saved_models import DTYPES, sample

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.target, [("grpc.max_receive_message_length", -1)]) as made:
        yield made


@pytest.fixture(scope="module")
def predict(channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def call(name, inputs, signature="", version=None, label=None, outputs=()):
        request = predict_pb2.PredictRequest(output_filter=outputs)
        request.model_spec.name = name
        request.model_spec.signature_name = signature
        if version is not None:
            request.model_spec.version.value = version
        if label is not None:
            request.model_spec.version_label = label
        for key, value in inputs.items():
            request.inputs[key].MergeFromString(value.SerializeToString())
        return stub.Predict(request, timeout=30)

    return call


def _floats(*values, shape=None):
    return tf.make_tensor_proto(np.array(values, np.float32).reshape(shape or (-1,)))


def _refusal(call, *arguments, **named):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **named)
    return caught.value.code(), caught.value.details()


def test_the_newest_version_answers_and_the_answer_says_which(predict):
    response = predict("line", {"x": _floats(0, 1, -4)})
    assert response.model_spec.name == "line"
    assert response.model_spec.version.value == 3
    assert response.model_spec.signature_name == "serving_default"
    # Typed field, as the real server answers by default.
    assert list(response.outputs["y"].float_val) == [6.0, 6.5, 4.0]
    assert tf.make_ndarray(response.outputs["y"]).tolist() == [6.0, 6.5, 4.0]


def test_a_version_is_chosen_by_number(predict):
    response = predict("line", {"x": _floats(2)}, version=2)
    assert (response.model_spec.version.value, list(response.outputs["y"].float_val)) == (2, [5.0])


def _plain(values):
    return values if values.dtype.names is None else values.view(values.dtype[0])


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("content", [False, True], ids=["typed", "content"])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0, 4)], ids=str)
def test_every_dtype_travels_both_ways_in_both_encodings(predict, dtype, content, shape):
    if content and dtype == tf.string and shape != ():
        pytest.skip("NumPy objects have no memory image: covered by the byte-list test")
    values = sample(dtype, shape)
    request = tensors.encode(values, content=content)
    response = predict("identities", {"x": request}, signature=dtype.name)
    back = response.outputs["y"]
    # The session gives quantised values back as plain ones of the same width.
    assert back.dtype in (dtype.as_datatype_enum, tensors.dtype_enum(_plain(values).dtype))
    read = tf.make_ndarray(back)
    assert read.shape == shape
    np.testing.assert_array_equal(read, _plain(values))


@pytest.mark.parametrize(
    "name", ["float32", "float64", "int8", "uint16", "int64", "bool", "complex64", "half"]
)
def test_tensorflows_own_encoder_and_decoder_agree(predict, name):
    dtype = tf.as_dtype(name)
    values = sample(dtype, (3, 2))
    response = predict("identities", {"x": tf.make_tensor_proto(values)}, signature=dtype.name)
    np.testing.assert_array_equal(tf.make_ndarray(response.outputs["y"]), values)


def test_strings_travel_as_a_byte_list_in_tensor_content(predict):
    proto = tf.make_tensor_proto(np.array([b"x", b"y"], object))
    words = [b"", b"a" * 200, b"\x00\xff", "é".encode()]
    del proto.string_val[:]
    proto.tensor_shape.dim[0].size = len(words)
    # All lengths as varints, then all bytes: tensorflow::port::EncodeStringList. 200 is C8 01.
    proto.tensor_content = b"\x00\xc8\x01\x02\x02" + b"".join(words)
    response = predict("identities", {"x": proto}, signature="string")
    assert list(response.outputs["y"].string_val) == words


def test_a_short_typed_field_is_filled_with_its_last_value(predict):
    proto = _floats(1, 2)
    proto.ClearField("tensor_content")
    proto.float_val[:] = [1.0, 2.0]
    proto.tensor_shape.dim[0].size = 5
    response = predict("line", {"x": proto})
    assert list(response.outputs["y"].float_val) == [6.5, 7.0, 7.0, 7.0, 7.0]


def test_several_inputs_and_outputs_of_mixed_dtypes(predict):
    words = tf.make_tensor_proto(np.array([b"", b"abc"], object))
    inputs = {
        "a": _floats(1, 2, 3, 4, shape=(2, 2)),
        "b": tf.make_tensor_proto([5, -6], tf.int64),
        "c": words,
    }
    outputs = predict("zoo", inputs).outputs
    assert sorted(outputs) == ["length", "same", "sum", "twice"]
    assert list(outputs["sum"].float_val) == [3.0, 7.0]
    assert list(outputs["twice"].int64_val) == [10, -12]
    assert list(outputs["length"].int_val) == [0, 3]
    assert list(outputs["same"].string_val) == [b"", b"abc"]
    assert sorted(predict("zoo", inputs, outputs=["sum", "length"]).outputs) == ["length", "sum"]


def test_a_scalar_and_any_rank_pass(predict):
    for shape in [(), (1,), (2, 1, 3)]:
        values = np.ones(shape, np.float32)
        outputs = predict("zoo", {"x": tf.make_tensor_proto(values)}, signature="any_rank").outputs
        assert list(outputs["rank"].int_val) == [len(shape)]
        np.testing.assert_array_equal(tf.make_ndarray(outputs["x"]), values)


def test_a_tensorflow_1_model_with_an_asset_answers(predict):
    response = predict("classic", {"x": _floats(2, 4, shape=(2, 1))})
    assert response.model_spec.version.value == 2
    assert list(response.outputs["y"].float_val) == [4.0, 5.0]
    old = predict("classic", {"x": _floats(2, 4, shape=(2, 1))}, version=1)
    assert list(old.outputs["y"].float_val) == [3.0, 4.0]


def test_messages_over_four_megabytes_pass(predict):
    values = np.arange(3_000_000, dtype=np.float32)
    request = tensors.encode(values, content=True)
    response = predict("identities", {"x": request}, signature="float32")
    np.testing.assert_array_equal(tf.make_ndarray(response.outputs["y"]), values)


def test_unknown_names_are_refused_in_the_real_servers_words(predict):
    x = {"x": _floats(1)}
    assert _refusal(predict, "nobody", x) == (NOT_FOUND, "Servable not found for request: Latest(nobody)")
    assert _refusal(predict, "line", x, version=9) == (
        NOT_FOUND,
        "Servable not found for request: Specific(line, 9)",
    )
    assert _refusal(predict, "line", x, label="gold") == (
        INVALID,
        "Unrecognized servable version label: gold",
    )
    code, words = _refusal(predict, "line", x, signature="nothing")
    assert (code, words) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        'Serving signature key "nothing" not found.',
    )
    assert _refusal(predict, "", x) == (INVALID, "ModelSpec has no name specified.")


def test_wrong_inputs_are_refused_naming_expected_and_got(predict):
    code, words = _refusal(predict, "line", {"x": _floats(1), "z": _floats(1)})
    assert code is INVALID
    assert words.startswith("input size does not match signature: 2!=1 len({x,z}) != len({x}).")
    assert "Sent extra: {z}" in words
    code, words = _refusal(predict, "line", {"z": _floats(1)})
    assert code is INVALID
    assert "x" in words
    code, words = _refusal(predict, "line", {"x": _floats(1)}, outputs=["nothing"])
    assert code is INVALID
    assert words.startswith("output tensor alias not found in signature: nothing")
    code, words = _refusal(predict, "line", {"x": _floats(1)}, outputs=["y", "y"])
    assert (code, words) == (INVALID, "duplicate output tensor alias: y")


def test_a_wrong_dtype_or_shape_is_invalid(predict):
    code, words = _refusal(predict, "line", {"x": tf.make_tensor_proto([1], tf.int64)})
    assert code is INVALID
    assert "int64" in words
    assert "float" in words
    code, words = _refusal(predict, "zoo", {"x": _floats(1, 2)}, signature="ragged")
    assert code is INVALID
    code, words = _refusal(predict, "zoo", {"x": _floats(1, -1)}, signature="refuse_negative")
    assert code is INVALID
    assert "x below zero" in words


def test_an_empty_batch_and_nan_pass(predict):
    empty = tf.make_tensor_proto(np.empty(0, np.float32))
    assert tf.make_ndarray(predict("line", {"x": empty}).outputs["y"]).shape == (0,)
    values = list(predict("line", {"x": _floats(np.nan, np.inf, -np.inf)}).outputs["y"].float_val)
    np.testing.assert_array_equal(values, [np.nan, np.inf, -np.inf])


def test_garbage_on_the_wire_is_invalid_not_internal(channel):
    for method in (
        "PredictionService/Predict",
        "PredictionService/GetModelMetadata",
        "ModelService/GetModelStatus",
    ):
        call = channel.unary_unary(f"/tensorflow.serving.{method}")
        code, words = _refusal(call, b"\xff\xff\xff garbage", timeout=10)
        assert code is INVALID
        assert "cannot parse" in words


def test_metadata_names_every_signature_with_its_tensors(channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "zoo"
    response = stub.GetModelMetadata(request, timeout=10)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    assert (response.model_spec.name, response.model_spec.version.value) == ("zoo", 1)
    # The real server shows TensorFlow's own initialisation as well.
    assert sorted(found.signature_def) == [
        "__saved_model_init_op",
        "any_rank",
        "binary",
        "no_batch",
        "ragged",
        "refuse_negative",
        "serving_default",
    ]
    inputs = found.signature_def["serving_default"].inputs
    assert inputs["a"].dtype == tf.float32.as_datatype_enum
    assert [size.size for size in inputs["a"].tensor_shape.dim] == [-1, 2]
    assert inputs["c"].dtype == tf.string.as_datatype_enum
    assert found.signature_def["serving_default"].method_name == "tensorflow/serving/predict"
    del request.metadata_field[:]
    assert _refusal(stub.GetModelMetadata, request)[0] is INVALID
    request.metadata_field.append("weights")
    assert _refusal(stub.GetModelMetadata, request) == (INVALID, "Metadata field weights is not supported")


def test_status_lists_versions_newest_first(channel):
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    request = get_model_status_pb2.GetModelStatusRequest()
    assert _refusal(stub.GetModelStatus, request)[0] is INVALID
    request.model_spec.name = "line"
    entries = stub.GetModelStatus(request, timeout=10).model_version_status
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert [(entry.version, entry.state) for entry in entries] == [(3, available), (2, available)]
    assert all(entry.status.error_code == 0 and entry.status.error_message == "" for entry in entries)
    request.model_spec.version.value = 1
    assert _refusal(stub.GetModelStatus, request)[0] is NOT_FOUND
    request.model_spec.name = "nobody"
    request.model_spec.ClearField("version")
    assert _refusal(stub.GetModelStatus, request) == (
        NOT_FOUND,
        "Could not find any versions of model nobody",
    )


@pytest.mark.parametrize(
    "service",
    [
        "",
        "PredictionService",
        "ModelService",
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
    ],
)
def test_health_says_serving(channel, service):
    stub = health_pb2_grpc.HealthStub(channel)
    response = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    assert response.status == health_pb2.HealthCheckResponse.SERVING


def test_health_of_an_unknown_service_is_not_found(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    assert _refusal(stub.Check, health_pb2.HealthCheckRequest(service="nothing"))[0] is NOT_FOUND


def test_reflection_lists_the_services_and_describes_predict(channel):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="tensorflow.serving.PredictionService"),
    ]
    listed, described = stub.ServerReflectionInfo(iter(asked), timeout=10)
    names = {service.name for service in listed.list_services_response.service}
    assert {
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
        "grpc.health.v1.Health",
    } <= names
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(raw)
        for raw in described.file_descriptor_response.file_descriptor_proto
    ]
    methods = {method.name for file in files for service in file.service for method in service.method}
    assert {"Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata"} <= methods


def test_answers_come_as_tensor_content_where_asked(models):
    options = Options(port=0, model_name="line", model_base_path=models.root / "line", content_responses=True)
    with Server(options) as server, Client(server.target) as client:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "line"
        request.inputs["x"].CopyFrom(_floats(2))
        with grpc.insecure_channel(server.target) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            output = stub.Predict(request, timeout=10).outputs["y"]
        assert output.tensor_content == np.array([7.0], np.float32).tobytes()
        assert not output.float_val
        assert client.predict("line", x=[2.0])["y"].tolist() == [7.0]


def test_a_taken_port_and_an_open_address_are_refused(server, models):
    base = models.root / "line"
    with pytest.raises(UnavailableError, match="cannot listen"):
        Server(Options(port=server.port, model_base_path=base)).start()
    with pytest.raises(ConfigError, match="listen on the network without authentication"):
        Server(Options(host="0.0.0.0", port=0, model_base_path=base))
    with pytest.raises(ConfigError, match="no model to serve"):
        Server(Options(port=0))
