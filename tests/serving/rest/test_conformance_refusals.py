"""What TensorFlow Serving refuses over gRPC, in its words; each case names the file of its source."""

import grpc
import pytest

from tests.serving.request_text import (
    ONE,
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
INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

#: Source, call, request, code, and what the details must hold.
REFUSED = [
    # No model, no version, no label, no signature
    (f"{TF}/predict_util_test.cc", "Predict", "", INVALID, "Missing ModelSpec"),
    (f"{TF}/predict_util_test.cc", "Predict", spec(), INVALID, "ModelSpec has no name specified."),
    (
        f"{TF}/predict_util_test.cc",
        "Predict",
        spec("test"),
        NOT_FOUND,
        "Servable not found for request: Latest(test)",
    ),
    (f"{TF}/predict_util_test.cc", "Predict", spec("line"), INVALID, "input size does not match signature"),
    (
        "core/manager.h",
        "Predict",
        spec("line", version=44) + X,
        NOT_FOUND,
        "Servable not found for request: Specific(line, 44)",
    ),
    ("core/manager.h", "Predict", spec("line", version=0) + X, NOT_FOUND, "Specific(line, 0)"),
    ("core/manager.h", "Predict", spec("line", version=-1) + X, NOT_FOUND, "Specific(line, -1)"),
    ("core/manager.h", "Predict", spec("Line") + X, NOT_FOUND, "Latest(Line)"),
    ("core/manager.h", "Predict", spec(" line") + X, NOT_FOUND, "Latest( line)"),
    (
        "model_servers/server_core.cc",
        "Predict",
        spec("line", label="gold") + X,
        INVALID,
        "Unrecognized servable version label: gold",
    ),
    (
        "model_servers/server_core.cc",
        "Predict",
        spec("none", label="gold") + X,
        INVALID,
        "Unrecognized servable version label: gold",
    ),
    (
        "model_servers/server_core.cc",
        "Predict",
        spec("line", label="") + X,
        INVALID,
        "Unrecognized servable version label: ",
    ),
    ("model_servers/server_core.cc", "Classify", spec("classic", label="gold") + ONE, INVALID, "label: gold"),
    (
        f"{TF}/predict_util.cc",
        "Predict",
        spec("line", "x") + X,
        PRECONDITION,
        'Serving signature key "x" not found.',
    ),
    (
        f"{TF}/predict_util.cc",
        "Predict",
        spec("counter") + X,
        PRECONDITION,
        'Serving signature key "serving_default" not found.',
    ),
    # Inputs
    (
        f"{TF}/predict_util_test.cc",
        "Predict",
        spec("line") + floats("unknown_key1", 1) + floats("unknown_key2", 1),
        INVALID,
        "Sent extra: {unknown_key1,unknown_key2}. Missing but required: {x}.",
    ),
    (
        f"{TF}/predict_util.cc",
        "Predict",
        spec("line") + X + floats("z", 1),
        INVALID,
        "2!=1 len({x,z}) != len({x}). Sent extra: {z}. Missing but required: {}.",
    ),
    (
        f"{TF}/predict_util.cc",
        "Predict",
        spec("zoo") + floats("a", 1, 2, shape=[1, 2]),
        INVALID,
        "1!=3 len({a}) != len({a,b,c}). Sent extra: {}. Missing but required: {b,c}.",
    ),
    (f"{TF}/predict_util.cc", "Predict", spec("line") + floats("y", 1), INVALID, "Signature input alias: x"),
    (
        f"{TF}/predict_util_test.cc",
        "Predict",
        spec("line") + tensor("x", "dtype: DT_BOOL tensor_shape {} bool_val: true"),
        INVALID,
        "Expects arg[0] to be float but bool is provided",
    ),
    (
        f"{TF}/predict_util_test.cc",
        "Predict",
        spec("line")
        + tensor("x", 'dtype: DT_STRING tensor_shape { dim { size: 1 } } string_val: "any_value"'),
        INVALID,
        "to be float but string is provided",
    ),
    (
        f"{TF}/predict_util.cc",
        "Predict",
        spec("line") + tensor("x", "dtype: DT_DOUBLE tensor_shape { dim { size: 1 } } double_val: 1"),
        INVALID,
        "to be float but double is provided",
    ),
    (
        f"{TF}/predict_util.cc",
        "Predict",
        spec("line") + tensor("x", "dtype: DT_INT64 tensor_shape { dim { size: 1 } } int64_val: 1"),
        INVALID,
        "to be float but int64 is provided",
    ),
    (
        f"{TF}/predict_util.cc",
        "Predict",
        spec("line") + tensor("x", "float_val: 1"),
        INVALID,
        "tensor parsing error: x",
    ),
    (
        f"{TF}/predict_util.cc",
        "Predict",
        spec("line") + tensor("x", "dtype: DT_FLOAT tensor_shape { unknown_rank: true } float_val: 1"),
        INVALID,
        "tensor parsing error: x",
    ),
    (
        f"{TF}/predict_util.cc",
        "Predict",
        spec("line") + tensor("x", "dtype: DT_FLOAT tensor_shape { dim { size: -1 } } float_val: 1"),
        INVALID,
        "tensor parsing error: x",
    ),
    (
        f"{TF}/predict_util.cc",
        "Predict",
        spec("line")
        + tensor("x", r'dtype: DT_FLOAT tensor_shape { dim { size: 1 } } tensor_content: "\001\002\003"'),
        INVALID,
        "tensor parsing error: x",
    ),
    (
        f"{TF}/predict_util.cc",
        "Predict",
        spec("line") + tensor("x", "dtype: DT_RESOURCE tensor_shape {}"),
        INVALID,
        "tensor parsing error: x",
    ),
    (
        f"{TF}/predict_util.cc",
        "Predict",
        spec("counter", "with_default") + floats("other", 1, shape=[]),
        INVALID,
        "Signature input alias: given",
    ),
    (
        f"{TF}/predict_util.cc",
        "Predict",
        spec("counter", "with_default") + floats("given", 1, shape=[]) + floats("other", 1, shape=[]),
        INVALID,
        "Inputs contains invalid name. Used request inputs: given, request input: given,other",
    ),
    # Outputs
    (
        f"{TF}/predict_util_test.cc",
        "Predict",
        spec("line") + X + 'output_filter: "output_filter"',
        INVALID,
        "output tensor alias not found in signature: output_filter Outputs expected to be in the set {y}.",
    ),
    (
        f"{TF}/predict_util_test.cc",
        "Predict",
        spec("line") + X + 'output_filter: "y" output_filter: "y"',
        INVALID,
        "duplicate output tensor alias: y",
    ),
    (
        f"{TF}/predict_util.cc",
        "Predict",
        spec("line") + X + 'output_filter: ""',
        INVALID,
        "output tensor alias not found in signature: ",
    ),
    # Classification
    (f"{TF}/classification_service.cc", "Classify", ONE, INVALID, "Missing ModelSpec"),
    (
        f"{TF}/classification_service_test.cc",
        "Classify",
        spec() + ONE,
        INVALID,
        "ModelSpec has no name specified.",
    ),
    (
        f"{TF}/classifier_test.cc",
        "Classify",
        spec("classic", "x") + ONE,
        INVALID,
        "No signature was found with the name: x",
    ),
    (
        f"{TF}/classifier_test.cc",
        "Classify",
        spec("line") + ONE,
        INVALID,
        "No classification inputs found in SignatureDef: ",
    ),
    (f"{TF}/classifier.cc", "Classify", spec("zoo") + ONE, INVALID, "Expected one input Tensor."),
    (
        f"{TF}/classifier.cc",
        "Classify",
        spec("odd", "three_outputs") + ONE,
        INVALID,
        "Expected one or two output Tensors, found 3",
    ),
    (
        f"{TF}/classifier.cc",
        "Classify",
        spec("odd", "other_input_name") + ONE,
        INVALID,
        "No classification inputs found in SignatureDef: ",
    ),
    (
        f"{TF}/classifier.cc",
        "Classify",
        spec("odd", "neither") + ONE,
        INVALID,
        "Expected classification signature outputs to contain at least one of "
        '"classes" or "scores". Signature was: ',
    ),
    (f"{TF}/classifier_test.cc", "Classify", spec("classic", "classify_sign"), INVALID, "Input is empty."),
    (
        f"{TF}/classifier_test.cc",
        "Classify",
        spec("classic", "classify_sign") + "input {}",
        INVALID,
        "Input is empty.",
    ),
    (
        f"{TF}/classifier_test.cc",
        "Classify",
        spec("classic", "classify_sign") + examples(),
        INVALID,
        "Input is empty.",
    ),
    (
        f"{TF}/classifier_test.cc",
        "Classify",
        spec("classic", "classify_sign") + in_context(features(x=1)),
        INVALID,
        "Input is empty.",
    ),
    (
        f"{TF}/classifier_test.cc",
        "Classify",
        spec("odd", "classes_of_numbers") + ONE,
        INVALID,
        "Expected classes Tensor of DT_STRING. Got: DT_FLOAT",
    ),
    (
        f"{TF}/classifier_test.cc",
        "Classify",
        spec("odd", "classes_of_another_batch") + ONE,
        INVALID,
        "Expected classes output batch size of 1. Got: 2",
    ),
    (
        f"{TF}/classifier.cc",
        "Classify",
        spec("odd", "classes_of_rank_1") + ONE,
        INVALID,
        "Expected Tensor shape: [batch_size num_classes] but got [1]",
    ),
    (
        f"{TF}/classifier_test.cc",
        "Classify",
        spec("odd", "scores_of_doubles") + ONE,
        INVALID,
        "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE",
    ),
    (
        f"{TF}/classifier_test.cc",
        "Classify",
        spec("odd", "scores_of_another_batch") + ONE,
        INVALID,
        "Expected scores output batch size of 1. Got: 2",
    ),
    (
        f"{TF}/classifier_test.cc",
        "Classify",
        spec("odd", "scores_of_rank_1") + ONE,
        INVALID,
        "Expected Tensor shape: [batch_size num_classes] but got [1]",
    ),
    (
        f"{TF}/classifier_test.cc",
        "Classify",
        spec("odd", "more_scores_than_classes") + ONE,
        INVALID,
        "Tensors class and score should match in dim_size(1). Got 2 vs. 3",
    ),
    (
        f"{TF}/classifier_test.cc",
        "Classify",
        spec("classic", "classify_sign") + examples(features()),
        INVALID,
        "x",
    ),
    # Regression
    (f"{TF}/regression_service.cc", "Regress", ONE, INVALID, "Missing ModelSpec"),
    (
        f"{TF}/regressor_test.cc",
        "Regress",
        spec("classic", "x") + ONE,
        INVALID,
        "No signature was found with the name: x",
    ),
    (f"{TF}/regressor.cc", "Regress", spec("zoo") + ONE, INVALID, "Expected one input Tensor."),
    (
        f"{TF}/regressor.cc",
        "Regress",
        spec("classic", "classify_sign") + ONE,
        INVALID,
        "Expected one output Tensor.",
    ),
    (
        f"{TF}/regressor.cc",
        "Regress",
        spec("classic", "classify_x_to_y") + ONE,
        INVALID,
        "No regression outputs found in SignatureDef: ",
    ),
    (
        f"{TF}/regressor.cc",
        "Regress",
        spec("line") + ONE,
        INVALID,
        "No regression inputs found in SignatureDef: ",
    ),
    (f"{TF}/regressor_test.cc", "Regress", spec("classic", "regress_x_to_y"), INVALID, "Input is empty."),
    (
        f"{TF}/regressor_test.cc",
        "Regress",
        spec("classic", "regress_x_to_y") + examples(),
        INVALID,
        "Input is empty.",
    ),
    (
        f"{TF}/regressor_test.cc",
        "Regress",
        spec("classic", "regress_x_to_y") + in_context(features(x=1)),
        INVALID,
        "Input is empty.",
    ),
    (
        f"{TF}/regressor_test.cc",
        "Regress",
        spec("odd", "values_of_doubles") + ONE,
        INVALID,
        "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE",
    ),
    (
        f"{TF}/regressor_test.cc",
        "Regress",
        spec("odd", "values_of_another_batch") + ONE,
        INVALID,
        "Input batch size did not match output batch size: 1 vs. 2",
    ),
    (
        f"{TF}/regressor.cc",
        "Regress",
        spec("odd", "values_of_rank_3") + ONE,
        INVALID,
        "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [1,1,1]",
    ),
    (
        f"{TF}/regressor.cc",
        "Regress",
        spec("odd", "values_of_two_columns") + ONE,
        INVALID,
        "[batch_size, 1] but got [1,2]",
    ),
    # Several signatures in one run
    (f"{TF}/multi_inference_helper.cc", "MultiInference", ONE, INVALID, "ModelSpec has no name specified."),
    (
        f"{TF}/multi_inference.cc",
        "MultiInference",
        tasks(("serving_default", "regress"))
        + 'tasks { model_spec {} method_name: "tensorflow/serving/regress" }'
        + ONE,
        INVALID,
        "No regression inputs found in SignatureDef: ",
    ),
    (
        f"{TF}/multi_inference.cc",
        "MultiInference",
        tasks(("regress_x_to_y", "regress"))
        + 'tasks { model_spec {} method_name: "tensorflow/serving/regress" }'
        + ONE,
        INVALID,
        "Found ModelSpec with an empty model name.",
    ),
    (
        f"{TF}/multi_inference.cc",
        "MultiInference",
        tasks(("regress_x_to_y", "regress")) + tasks(("x", "regress"), name="line") + ONE,
        INVALID,
        "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
    ),
    (
        f"{TF}/multi_inference.cc",
        "MultiInference",
        tasks(("regress_x_to_y", "regress"), ("regress_x_to_y", "regress")) + ONE,
        INVALID,
        "Duplicate evaluation of signature: regress_x_to_y",
    ),
    (
        f"{TF}/multi_inference.cc",
        "MultiInference",
        tasks(("x", "regress")) + ONE,
        INVALID,
        "Requested signature not found in model graph: x",
    ),
    (
        f"{TF}/multi_inference.cc",
        "MultiInference",
        tasks(("regress_x_to_y", "predict")) + ONE,
        grpc.StatusCode.UNIMPLEMENTED,
        "Unsupported signature method_name: tensorflow/serving/predict",
    ),
    (
        f"{TF}/multi_inference.cc",
        "MultiInference",
        tasks(("regress_x_to_y", "regress")),
        INVALID,
        "Input is empty.",
    ),
    (
        f"{TF}/multi_inference.cc",
        "MultiInference",
        tasks(("regress_x_to_y", "regress"), name="none") + ONE,
        NOT_FOUND,
        "Latest(none)",
    ),
    # Metadata
    (
        f"{TF}/get_model_metadata_impl.cc",
        "GetModelMetadata",
        'metadata_field: "signature_def"',
        INVALID,
        "Missing ModelSpec",
    ),
    (
        f"{TF}/get_model_metadata_impl_test.cc",
        "GetModelMetadata",
        spec() + 'metadata_field: "signature_def"',
        INVALID,
        "ModelSpec has no name specified.",
    ),
    (
        f"{TF}/get_model_metadata_impl_test.cc",
        "GetModelMetadata",
        spec("line"),
        INVALID,
        "GetModelMetadataRequest must specify at least one metadata_field",
    ),
    (
        f"{TF}/get_model_metadata_impl_test.cc",
        "GetModelMetadata",
        spec("line") + 'metadata_field: "some_stuff"',
        INVALID,
        "Metadata field some_stuff is not supported",
    ),
    (
        f"{TF}/get_model_metadata_impl_test.cc",
        "GetModelMetadata",
        spec("line") + 'metadata_field: ""',
        INVALID,
        "Metadata field  is not supported",
    ),
    (
        f"{TF}/get_model_metadata_impl.cc",
        "GetModelMetadata",
        spec("none") + 'metadata_field: "signature_def"',
        NOT_FOUND,
        "Latest(none)",
    ),
    # Status
    ("model_servers/get_model_status_impl.cc", "GetModelStatus", "", INVALID, "Missing ModelSpec"),
    (
        "model_servers/get_model_status_impl_test.cc",
        "GetModelStatus",
        spec(),
        NOT_FOUND,
        "Could not find any versions of model ",
    ),
    (
        "model_servers/get_model_status_impl_test.cc",
        "GetModelStatus",
        spec("none"),
        NOT_FOUND,
        "Could not find any versions of model none",
    ),
    (
        "model_servers/get_model_status_impl_test.cc",
        "GetModelStatus",
        spec("line", version=99),
        NOT_FOUND,
        "Could not find version 99 of model line",
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=case_id)
def test_refused(ask, case):
    _, method, request, code, words = case
    got, details = ask(method, request)
    assert got is code, details
    assert words in details
    assert len(details) <= 1024 + len("...TRUNCATED")
