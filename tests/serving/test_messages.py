"""The client's own messages against those of tensorflow-serving-api: the same fields, the same bytes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import json_format
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    input_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
    status_pb2,
)

from serving import messages, tensors
from serving.client import answers, example_requests, requests
from tests.serving.saved_models import DTYPES, sample

MODULES = (
    example_pb2,
    feature_pb2,
    tensor_pb2,
    tensor_shape_pb2,
    meta_graph_pb2,
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    input_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
    status_pb2,
)
#: Numbers, whose names a client does not need: TensorFlow has them as enums.
AS_NUMBERS = {"tensorflow.serving.StatusProto.error_code"}


def official(name):
    """Return tensorflow-serving-api's class of a full name."""
    path = name.removeprefix("tensorflow.serving.").removeprefix("tensorflow.").split(".")
    (top,) = [vars(module)[path[0]] for module in MODULES if path[0] in vars(module)]
    return top if len(path) == 1 else getattr(top, path[1])


def facts(field):
    """Return what decides how a field is written."""
    named = field.message_type or field.enum_type
    oneof = field.containing_oneof
    return {
        "number": field.number,
        "type": field.type,
        "repeated": field.is_repeated,
        "packed": field.is_packed,
        "map": bool(field.message_type and field.message_type.GetOptions().map_entry),
        "presence": field.has_presence,
        "named": named.full_name if named else None,
        "oneof": oneof.name if oneof else None,
    }


@pytest.mark.parametrize("name", messages.CLASSES)
def test_every_field_is_described_as_the_official_class_has_it(name):
    own, theirs = messages.CLASSES[name].DESCRIPTOR, official(name).DESCRIPTOR
    assert own.full_name == theirs.full_name == name
    assert own.fields
    for field in own.fields:
        wanted = facts(theirs.fields_by_name[field.name])
        if field.full_name in AS_NUMBERS:
            assert wanted["type"] == field.TYPE_ENUM
            wanted |= {"type": field.TYPE_INT32, "named": None}
        assert facts(field) == wanted, field.full_name


def test_every_dtype_and_state_has_its_number():
    assert dict(types_pb2.DataType.items()) == messages.DTYPES
    assert {name: number for number, name in messages.STATES.items()} == dict(
        get_model_status_pb2.ModelVersionStatus.State.items()
    )


def both_ways(own):
    """Parse a message as the official one and back: nothing is lost or unknown on the way."""
    theirs = official(own.DESCRIPTOR.full_name).FromString(own.SerializeToString(deterministic=True))
    assert json_format.MessageToDict(theirs) == json_format.MessageToDict(own)
    raw = theirs.SerializeToString(deterministic=True)
    assert raw == own.SerializeToString(deterministic=True)
    assert type(own).FromString(raw) == own
    return theirs


@pytest.mark.parametrize("content", [False, True], ids=["typed", "content"])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
def test_a_prediction_of_every_dtype_is_read_alike(dtype, content):
    array = sample(dtype, (2, 3))
    request = requests.predict(requests.spec("m", 7, None), "embed", {"x": array}, content=content)
    theirs = both_ways(request)
    assert theirs.model_spec.version.value == 7
    assert theirs.model_spec.signature_name == "embed"
    assert theirs.inputs["x"].dtype == dtype.as_datatype_enum
    np.testing.assert_array_equal(tensors.decode(theirs.inputs["x"], "x"), array)

    response = predict_pb2.PredictResponse(model_spec=theirs.model_spec)
    tensors.encode(array, response.outputs["y"], content=content)
    answer = answers.answer(messages.PredictResponse.FromString(response.SerializeToString()), "m")
    assert (answer.model, answer.version, answer.signature) == ("m", 7, "embed")
    np.testing.assert_array_equal(answer["y"], array)


def test_examples_are_read_alike():
    rows = [{"text": "a", "number": [1.5, 2.5], "count": 2**40}]
    for request in (
        example_requests.classify(requests.spec("m", None, "stable"), None, rows, None),
        example_requests.regress(requests.spec("m", None, "stable"), "rate", rows, {"place": b"\xff"}),
    ):
        theirs = both_ways(request)
        assert theirs.model_spec.version_label == "stable"
        assert theirs.model_spec.WhichOneof("version_choice") == "version_label"
    features = theirs.input.example_list_with_context.examples[0].features.feature
    assert list(features["number"].float_list.value) == [1.5, 2.5]
    assert list(features["count"].int64_list.value) == [2**40]


def test_classes_and_values_are_read_alike():
    classified = classification_pb2.ClassificationResponse()
    classified.result.classifications.add().classes.add(label="ants", score=0.25)
    own = messages.ClassificationResponse.FromString(classified.SerializeToString())
    assert example_requests.classes(own) == [(example_requests.Class("ants", 0.25),)]
    both_ways(own)
    regressed = regression_pb2.RegressionResponse()
    regressed.result.regressions.add(value=0.5)
    own = messages.RegressionResponse.FromString(regressed.SerializeToString())
    assert example_requests.values(own).tolist() == [0.5]
    both_ways(own)


def test_signatures_are_read_alike():
    assert list(both_ways(requests.metadata(requests.spec("m", None, None))).metadata_field) == [
        "signature_def"
    ]
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signature = signatures.signature_def["serving_default"]
    signature.method_name = "tensorflow/serving/predict"
    signature.inputs["x"].dtype = types_pb2.DT_FLOAT8_E4M3FN
    for size in (-1, 3):
        signature.inputs["x"].tensor_shape.dim.add(size=size)
    signature.inputs["x"].name = "x:0"
    signature.outputs["y"].dtype = types_pb2.DT_STRING
    signature.outputs["y"].tensor_shape.unknown_rank = True
    both_ways(messages.SignatureDefMap.FromString(signatures.SerializeToString()))
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.version.value = 3
    response.metadata["signature_def"].Pack(signatures)
    own = messages.GetModelMetadataResponse.FromString(response.SerializeToString())
    (read,) = answers.metadata(own, "m").signatures.values()
    assert read.inputs == {"x": answers.TensorSpec("float8_e4m3fn", (None, 3))}
    assert read.outputs == {"y": answers.TensorSpec("string", None)}


def test_states_are_read_alike():
    both_ways(requests.status("m", 3))
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, state in enumerate((10, 20, 30, 40, 50), start=1):
        entry = response.model_version_status.add(version=version, state=state)
        entry.status.error_code, entry.status.error_message = 5, "gone"
    own = messages.GetModelStatusResponse.FromString(response.SerializeToString())
    assert own.SerializeToString() == response.SerializeToString()
    read = answers.statuses(own)
    assert [one.state for one in read] == ["END", "UNLOADING", "AVAILABLE", "LOADING", "START"]
    assert {(one.code, one.message) for one in read} == {("NOT_FOUND", "gone")}


def test_fields_left_out_are_kept_unread():
    whole = predict_pb2.PredictRequest(client_id=b"me")
    own = messages.PredictRequest.FromString(whole.SerializeToString())
    assert own.SerializeToString() == whole.SerializeToString()


HEAVY = "tensorflow keras pandas pyarrow matplotlib scipy sklearn PIL soundfile soxr librosa prefect mlflow"


@pytest.mark.parametrize(
    "work",
    [
        "from serving.client import Client; Client('127.0.0.1:1')",
        "from serving.client.async_client import AsyncClient",
        "from flows.queries import explanation, inspection, places, question, writers; "
        "from flows.queries.reading import raw_inputs",
        # Plain forms are sent as they are.
        "from serving.client import requests; from pathlib import Path; import sys; "
        "photos = [Path(sys.argv[1]).read_bytes()]; "
        "requests.predict(requests.spec('m', 1, None), None, {'image_bytes': photos})",
    ],
    ids=["client", "async client", "commands", "a request of a photo"],
)
def test_a_client_imports_nothing_heavy(work, photo):
    told = f"{work}\nimport sys\nprint(*sorted(set({HEAVY.split()!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", told, photo], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.fixture
def photo(tmp_path):
    from PIL import Image

    path = Path(tmp_path, "photo.jpg")
    Image.new("RGB", (8, 8)).save(path)
    return str(path)
