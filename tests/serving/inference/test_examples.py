"""Classify, Regress and MultiInference on tf.Example messages, over a real port."""

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving import errors
from serving.engine.servable import Servable
from serving.inference import examples

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def prediction(server):
    with grpc.insecure_channel(server.target) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def example(**values):
    features = {
        name: tf.train.Feature(float_list=tf.train.FloatList(value=[value])) for name, value in values.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=features))


def listed(*items):
    made = input_pb2.Input()
    made.example_list.examples.extend(items)
    return made


def with_context(context, *items):
    made = input_pb2.Input()
    made.example_list_with_context.context.CopyFrom(context)
    made.example_list_with_context.examples.extend(items)
    return made


def classification(signature, data, model="classic", version=None):
    made = classification_pb2.ClassificationRequest(input=data)
    return _named(made.model_spec, model, signature, version) or made


def regression(signature, data, model="classic", version=None):
    made = regression_pb2.RegressionRequest(input=data)
    return _named(made.model_spec, model, signature, version) or made


def multi(data, *tasks, model="classic"):
    made = inference_pb2.MultiInferenceRequest(input=data)
    for signature, method in tasks:
        task = made.tasks.add(method_name=f"tensorflow/serving/{method}")
        _named(task.model_spec, model, signature, None)
    return made


def _named(spec, model, signature, version):
    spec.name, spec.signature_name = model, signature
    if version is not None:
        spec.version.value = version


def failure(call, message):
    with pytest.raises(grpc.RpcError) as caught:
        call(message)
    return caught.value.code(), caught.value.details()


def spec_of(response):
    spec = response.model_spec
    return spec.name, spec.version.value, spec.signature_name


def test_regress_gives_one_value_for_each_example(prediction):
    response = prediction.Regress(regression("regress_x_to_y", listed(example(x=2), example(x=20))))
    assert [one.value for one in response.result.regressions] == [4.0, 13.0]
    assert spec_of(response) == ("classic", 2, "regress_x_to_y")


def test_a_version_can_be_asked_for(prediction):
    response = prediction.Regress(regression("regress_x_to_y", listed(example(x=2)), version=1))
    assert [one.value for one in response.result.regressions] == [3.0]
    assert spec_of(response) == ("classic", 1, "regress_x_to_y")


def test_the_context_is_part_of_every_example_and_the_example_wins(prediction):
    data = with_context(example(x=10, x2=100), example(), example(x=2), example(x2=0))
    assert [
        one.value for one in prediction.Regress(regression("regress_x_to_y", data)).result.regressions
    ] == [8, 4, 8]
    assert [
        one.value for one in prediction.Regress(regression("regress_x2_to_y3", data)).result.regressions
    ] == [54, 54, 4]


def test_classify_gives_scores_and_labels(prediction):
    data = listed(example(x=2), example(x=-20))
    rows = prediction.Classify(classification("classify_sign", data)).result.classifications
    assert [[(one.label, one.score) for one in row.classes] for row in rows] == [
        [("below", -4.0), ("above", 4.0)],
        [("below", 7.0), ("above", -7.0)],
    ]


def test_classify_with_scores_alone_and_labels_alone(prediction):
    data = listed(example(x=2))
    rows = prediction.Classify(classification("classify_x_to_y", data)).result.classifications
    assert [(one.label, one.score) for one in rows[0].classes] == [("", 4.0)]
    response = prediction.Classify(classification("classify_labels", data))
    assert [(one.label, one.score) for one in response.result.classifications[0].classes] == [
        ("below", 0),
        ("above", 0),
    ]
    assert spec_of(response) == ("classic", 2, "classify_labels")


def test_multi_inference_answers_all_tasks_in_their_order(prediction):
    data = listed(example(x=2, x2=4))
    request = multi(
        data, ("classify_x_to_y", "classify"), ("regress_x2_to_y3", "regress"), ("regress_x_to_y", "regress")
    )
    results = prediction.MultiInference(request).results
    assert [spec_of(one)[2] for one in results] == ["classify_x_to_y", "regress_x2_to_y3", "regress_x_to_y"]
    assert results[0].classification_result.classifications[0].classes[0].score == 4.0
    assert results[1].regression_result.regressions[0].value == 6.0
    assert results[2].regression_result.regressions[0].value == 4.0
    assert spec_of(results[0])[:2] == ("classic", 2)


@pytest.mark.parametrize(
    ("call", "request_", "code", "words"),
    [
        ("Classify", classification_pb2.ClassificationRequest(), INVALID, "Missing ModelSpec"),
        ("Regress", regression_pb2.RegressionRequest(), INVALID, "Missing ModelSpec"),
        (
            "MultiInference",
            inference_pb2.MultiInferenceRequest(),
            INVALID,
            "ModelSpec has no name specified.",
        ),
        (
            "Classify",
            classification("x", listed(example(x=1)), "nobody"),
            grpc.StatusCode.NOT_FOUND,
            "Latest(nobody)",
        ),
        (
            "Classify",
            classification("x", listed(example(x=1))),
            INVALID,
            "No signature was found with the name: x",
        ),
        (
            "Regress",
            regression("x", listed(example(x=1))),
            INVALID,
            "No signature was found with the name: x",
        ),
        ("Classify", classification("classify_sign", input_pb2.Input()), INVALID, "Input is empty."),
        ("Regress", regression("regress_x_to_y", listed()), INVALID, "Input is empty."),
        ("Regress", regression("regress_x_to_y", with_context(example(x=1))), INVALID, "Input is empty."),
        (
            "Classify",
            classification("", listed(example(x=1))),
            INVALID,
            "No classification inputs found in SignatureDef",
        ),
        (
            "Classify",
            classification("regress_x_to_y", listed(example(x=1))),
            INVALID,
            "Expected classification signature outputs to contain at least one of",
        ),
        (
            "Regress",
            regression("classify_x_to_y", listed(example(x=1))),
            INVALID,
            "No regression outputs found in SignatureDef",
        ),
        (
            "Regress",
            regression("classify_sign", listed(example(x=1))),
            INVALID,
            "Expected one output Tensor.",
        ),
        ("Classify", classification("", listed(example(x=1)), "zoo"), INVALID, "Expected one input Tensor."),
        ("Regress", regression("regress_x_to_y", listed(example())), INVALID, "x"),
        (
            "MultiInference",
            multi(listed(example(x=1)), ("regress_x_to_y", "regress"), ("regress_x_to_y", "regress")),
            INVALID,
            "Duplicate evaluation of signature: regress_x_to_y",
        ),
        (
            "MultiInference",
            multi(listed(example(x=1)), ("none", "regress")),
            INVALID,
            "Requested signature not found in model graph: none",
        ),
        (
            "MultiInference",
            multi(listed(example(x=1)), ("regress_x_to_y", "guess")),
            grpc.StatusCode.UNIMPLEMENTED,
            "Unsupported signature method_name: tensorflow/serving/guess",
        ),
        ("MultiInference", multi(listed(), ("regress_x_to_y", "regress")), INVALID, "Input is empty."),
    ],
)
def test_what_does_not_fit_is_refused_in_the_real_servers_words(prediction, call, request_, code, words):
    got, details = failure(getattr(prediction, call), request_)
    assert got is code
    assert words in details


def test_tasks_must_ask_for_one_model(prediction):
    request = multi(listed(example(x=1)), ("regress_x_to_y", "regress"))
    request.tasks.add(method_name=examples.REGRESS).model_spec.name = "zoo"
    assert failure(prediction.MultiInference, request) == (
        INVALID,
        "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
    )


def test_method_names_are_checked_where_asked(models):
    servable = Servable("classic", 2, models.root / "classic" / "2")
    request = classification("regress_x_to_y", listed(example(x=1)))
    with pytest.raises(
        errors.InvalidArgument,
        match="Was: tensorflow/serving/regress",
    ):
        examples.classify(servable, request, check_method=True)
    request = regression("regress_x_to_y", listed(example(x=2)))
    assert examples.regress(servable, request, check_method=True).result.regressions[0].value == 4.0
    servable.close()
