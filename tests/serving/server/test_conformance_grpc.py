"""TensorFlow Serving's answers over gRPC, case by case; each names the file of its source it follows."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, prediction_service_pb2_grpc

from serving.config import Options
from serving.server.server import Server
from tests.serving import saved_models
from tests.serving.request_text import (
    ONE,
    REQUESTS,
    X,
    case_id,
    examples,
    features,
    floats,
    in_context,
    spec,
    tasks,
    tensor,
)

TF = "servables/tensorflow"
OK = grpc.StatusCode.OK
INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


def outputs(answer):
    return {name: tf.make_ndarray(value).tolist() for name, value in answer.outputs.items()}


#: Source, request, outputs, and the version and signature that the answer names.
PREDICTED = [
    (f"{TF}/predict_util_test.cc", spec("line") + X, {"y": [7.0]}, 3, "serving_default"),
    (f"{TF}/predict_util_test.cc", spec("line", "serving_default") + X, {"y": [7.0]}, 3, "serving_default"),
    (f"{TF}/predict_util_test.cc", spec("line", "") + X, {"y": [7.0]}, 3, "serving_default"),
    ("model_servers/server_core_test.cc", spec("line", version=1) + X, {"y": [3.0]}, 1, "serving_default"),
    ("model_servers/server_core_test.cc", spec("line", version=2) + X, {"y": [5.0]}, 2, "serving_default"),
    (f"{TF}/predict_util.cc", spec("line") + floats("x"), {"y": []}, 3, "serving_default"),
    (
        f"{TF}/predict_util.cc",
        spec("line") + floats("x", 1, shape=[3]),
        {"y": [6.5, 6.5, 6.5]},
        3,
        "serving_default",
    ),
    (
        f"{TF}/predict_util.cc",
        spec("line") + floats("x", 0, 2, shape=[4]),
        {"y": [6, 7, 7, 7]},
        3,
        "serving_default",
    ),
    (
        f"{TF}/predict_util.cc",
        spec("line") + floats("x", 0, 2, 4, shape=[2]),
        {"y": [6, 7]},
        3,
        "serving_default",
    ),
    (f"{TF}/predict_util.cc", spec("line") + X + 'output_filter: "y"', {"y": [7.0]}, 3, "serving_default"),
    (
        f"{TF}/predict_util_test.cc",
        spec("classic", "regress_x_to_y")
        + tensor("inputs", "dtype: DT_STRING tensor_shape { dim { size: 0 } }"),
        {"outputs": []},
        2,
        "regress_x_to_y",
    ),
    (
        f"{TF}/predict_util_test.cc",
        spec("classic", "classify_x_to_y")
        + tensor("inputs", "dtype: DT_STRING tensor_shape { dim { size: 0 } }"),
        {"scores": []},
        2,
        "classify_x_to_y",
    ),
    (
        f"{TF}/predict_util.cc",
        spec("odd", "unknown_method")
        + tensor("text", 'dtype: DT_STRING tensor_shape { dim { size: 2 } } string_val: "a"'),
        {"count": 2},
        7,
        "unknown_method",
    ),
    (
        f"{TF}/predict_util.cc",
        spec("counter", "with_default") + floats("given", 1, shape=[]),
        {"output": 31.0},
        5,
        "with_default",
    ),
    (
        f"{TF}/predict_util.cc",
        spec("counter", "with_default") + floats("given", 1, shape=[]) + floats("delta", 2, shape=[]),
        {"output": 21.0},
        5,
        "with_default",
    ),
    (
        f"{TF}/predict_util.cc",
        spec("zoo", "any_rank") + floats("x", 5, shape=[]),
        {"rank": 0, "x": 5.0},
        1,
        "any_rank",
    ),
    (
        f"{TF}/predict_util.cc",
        spec("zoo", "any_rank") + floats("x", 5, shape=[]) + 'output_filter: "rank"',
        {"rank": 0},
        1,
        "any_rank",
    ),
    (f"{TF}/predict_util.cc", spec("zoo", "no_batch") + floats("x", 5, 6), {"total": 11.0}, 1, "no_batch"),
]


@pytest.mark.parametrize("case", PREDICTED, ids=lambda case: case_id((case[0], "Predict", case[1])))
def test_predicted(ask, case):
    _, request, wanted, version, signature = case
    code, answer = ask("Predict", request)
    assert code is OK, answer
    assert outputs(answer) == wanted
    assert (answer.model_spec.version.value, answer.model_spec.signature_name) == (version, signature)
    assert not any(value.tensor_content for value in answer.outputs.values())


def test_signatures_that_change_the_models_state(ask):
    # servables/tensorflow/predict_util_test.cc: PredictionWithCustomizedSignatures
    def read(signature, more=""):
        return outputs(ask("Predict", spec("counter", signature) + more)[1])["output"]

    assert read("reset") == 0
    assert [read("get"), read("raise"), read("raise"), read("get")] == [0, 1, 2, 2]
    assert read("raise_by", floats("delta", 3, shape=[])) == 5
    assert [read("reset"), read("get")] == [0, 0]


def rows(answer):
    return [[(one.label, one.score) for one in row.classes] for row in answer.result.classifications]


#: Source, request, labels and scores of each example.
CLASSIFIED = [
    (
        f"{TF}/classifier_test.cc",
        spec("classic", "classify_sign") + examples(features(x=2), features(x=-20)),
        [[("below", -4), ("above", 4)], [("below", 7), ("above", -7)]],
    ),
    (
        f"{TF}/classifier_test.cc",
        spec("classic", "classify_sign") + in_context(features(x=2), features()),
        [[("below", -4), ("above", 4)]],
    ),
    (
        f"{TF}/classifier_test.cc",
        spec("classic", "classify_sign") + in_context(features(x2=2), features(x=2), features(x=4)),
        [[("below", -4), ("above", 4)], [("below", -5), ("above", 5)]],
    ),
    (
        f"{TF}/classifier_test.cc",
        spec("classic", "classify_sign") + in_context(features(x=2), features(x=4)),
        [[("below", -5), ("above", 5)]],
    ),
    (f"{TF}/classifier_test.cc", spec("classic", "classify_labels") + ONE, [[("below", 0), ("above", 0)]]),
    (f"{TF}/classifier_test.cc", spec("classic", "classify_x_to_y") + ONE, [[("", 4)]]),
    (f"{TF}/classifier_test.cc", spec("classic", "classify_x_to_y", version=1) + ONE, [[("", 3)]]),
    (f"{TF}/classifier_test.cc", spec("odd", "zero_scores") + ONE, [[("", 0), ("", 0)]]),
]


@pytest.mark.parametrize("case", CLASSIFIED, ids=lambda case: case_id((case[0], "Classify", case[1])))
def test_classified(ask, case):
    code, answer = ask("Classify", case[1])
    assert code is OK, answer
    assert rows(answer) == case[2]


#: Source, request, value of each example.
REGRESSED = [
    (
        f"{TF}/regressor_test.cc",
        spec("classic", "regress_x_to_y") + examples(features(x=2), features(x=20)),
        [4, 13],
    ),
    (
        f"{TF}/regressor_test.cc",
        spec("classic", "regress_x_to_y") + in_context(features(x=2), features(), features(x=4)),
        [4, 5],
    ),
    (f"{TF}/regressor_test.cc", spec("classic", "regress_x_to_y", version=1) + ONE, [3]),
    (f"{TF}/regressor_test.cc", spec("classic", "regress_x2_to_y3") + examples(features(x=1)), [4]),
    (
        f"{TF}/regressor_test.cc",
        spec("odd", "values_of_rank_1") + examples(features(), features()),
        [0.5, 0.5],
    ),
]


@pytest.mark.parametrize("case", REGRESSED, ids=lambda case: case_id((case[0], "Regress", case[1])))
def test_regressed(ask, case):
    code, answer = ask("Regress", case[1])
    assert code is OK, answer
    assert [one.value for one in answer.result.regressions] == case[2]
    assert answer.model_spec.HasField("version")


MULTIPLE = [
    (f"{TF}/multi_inference.cc", [("regress_x_to_y", "regress")], [[4]]),
    (f"{TF}/multi_inference.cc", [("classify_x_to_y", "classify")], [[("", 4)]]),
    (
        f"{TF}/multi_inference.cc",
        [("regress_x_to_y", "regress"), ("classify_sign", "classify")],
        [[4], [("below", -4), ("above", 4)]],
    ),
    (
        f"{TF}/multi_inference.cc",
        [("classify_sign", "classify"), ("regress_x_to_y", "regress"), ("classify_labels", "classify")],
        [[("below", -4), ("above", 4)], [4], [("below", 0), ("above", 0)]],
    ),
]


@pytest.mark.parametrize("case", MULTIPLE, ids=lambda case: f"{case[0]}-{case[1]}")
def test_several_signatures_in_one_run(ask, case):
    code, answer = ask("MultiInference", tasks(*case[1]) + ONE)
    assert code is OK, answer
    got = [
        [value.value for value in one.regression_result.regressions]
        or [
            (item.label, item.score)
            for row in one.classification_result.classifications
            for item in row.classes
        ]
        for one in answer.results
    ]
    assert got == case[2]
    assert [one.model_spec.signature_name for one in answer.results] == [
        signature for signature, _ in case[1]
    ]
    assert {one.model_spec.version.value for one in answer.results} == {2}


@pytest.mark.parametrize(
    ("source", "request_", "version"),
    [
        (f"{TF}/get_model_metadata_impl_test.cc", spec("line"), 3),
        (f"{TF}/get_model_metadata_impl_test.cc", spec("line", version=1), 1),
        (f"{TF}/get_model_metadata_impl.cc", spec("line", "no such signature"), 3),
    ],
)
def test_metadata(ask, source, request_, version):
    code, answer = ask("GetModelMetadata", request_ + 'metadata_field: "signature_def"')
    assert code is OK, answer
    assert answer.model_spec.name == "line"
    assert answer.model_spec.version.value == version
    assert answer.model_spec.signature_name == ""
    found = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(found)
    assert set(found.signature_def) == {"serving_default", "__saved_model_init_op"}


@pytest.mark.parametrize(
    ("source", "request_", "versions"),
    [
        ("model_servers/get_model_status_impl_test.cc", spec("line"), [3, 2, 1]),
        ("model_servers/get_model_status_impl_test.cc", spec("line", version=2), [2]),
        ("model_servers/get_model_status_impl.cc", spec("line", label="any"), [3, 2, 1]),
        ("model_servers/get_model_status_impl.cc", spec("line", "any"), [3, 2, 1]),
    ],
)
def test_status(ask, source, request_, versions):
    code, answer = ask("GetModelStatus", request_)
    assert code is OK, answer
    assert [one.version for one in answer.model_version_status] == versions
    assert {one.state for one in answer.model_version_status} == {
        get_model_status_pb2.ModelVersionStatus.AVAILABLE
    }
    assert all(one.HasField("status") and one.status.error_code == 0 for one in answer.model_version_status)


@pytest.mark.parametrize("method", ["Predict", "Classify", "Regress"])
def test_method_names_are_checked_where_asked(models, tmp_path, method):
    # servables/tensorflow/util.h: SetSignatureMethodNameCheckFeature
    saved_models.odd(tmp_path / "odd" / "7")
    options = Options(port=0, model_name="odd", model_base_path=tmp_path / "odd", check_method_names=True)
    requests = {
        "Predict": spec("odd", "unknown_method")
        + tensor("text", "dtype: DT_STRING tensor_shape { dim { size: 0 } }"),
        "Classify": spec("odd", "values_of_rank_1") + ONE,
        "Regress": spec("odd", "zero_scores") + ONE,
    }
    words = {
        "Predict": "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
        "tensorflow/serving/classify, tensorflow/serving/regress}. Was: test/method",
        "Classify": "Expected classification signature method_name to be tensorflow/serving/classify. "
        "Was: tensorflow/serving/regress",
        "Regress": "Expected regression signature method_name to be tensorflow/serving/regress. "
        "Was: tensorflow/serving/classify",
    }
    with Server(options) as server, grpc.insecure_channel(server.target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            getattr(stub, method)(text_format.Parse(requests[method], REQUESTS[method]()), timeout=20)
    assert caught.value.code() is (grpc.StatusCode.INTERNAL if method == "Predict" else INVALID)
    assert caught.value.details() == words[method]


def test_long_messages_are_cut_as_before_they_travel(ask):
    # model_servers/grpc_status_util.cc
    code, details = ask("Predict", spec("line", "s" * 2000) + X)
    assert code is PRECONDITION
    assert details == ('Serving signature key "' + "s" * 2000)[:1024] + "...TRUNCATED"


def test_numbers_of_a_large_answer_are_exact(ask):
    values = np.random.default_rng(3).normal(size=500).astype(np.float32)
    _, answer = ask("Predict", spec("line") + floats("x", *values.tolist()))
    np.testing.assert_array_equal(
        tf.make_ndarray(answer.outputs["y"]), values * np.float32(0.5) + np.float32(6)
    )
