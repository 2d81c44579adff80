"""Requests written as protobuf text, for tables of cases."""

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

REQUESTS = {
    "Predict": predict_pb2.PredictRequest,
    "Classify": classification_pb2.ClassificationRequest,
    "Regress": regression_pb2.RegressionRequest,
    "MultiInference": inference_pb2.MultiInferenceRequest,
    "GetModelMetadata": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelStatus": get_model_status_pb2.GetModelStatusRequest,
}


def spec(name=None, signature=None, version=None, label=None):
    parts = [f'name: "{name}"'] if name is not None else []
    parts += [f'signature_name: "{signature}"'] if signature is not None else []
    parts += [f"version {{ value: {version} }}"] if version is not None else []
    parts += [f'version_label: "{label}"'] if label is not None else []
    return f"model_spec {{ {' '.join(parts)} }}"


def floats(name, *values, shape=None):
    sizes = [len(values)] if shape is None else shape
    dims = " ".join(f"dim {{ size: {size} }}" for size in sizes)
    numbers = " ".join(f"float_val: {value}" for value in values)
    return f'inputs {{ key: "{name}" value {{ dtype: DT_FLOAT tensor_shape {{ {dims} }} {numbers} }} }}'


def tensor(name, text):
    return f'inputs {{ key: "{name}" value {{ {text} }} }}'


def features(**values):
    inner = " ".join(
        f'feature {{ key: "{name}" value {{ float_list {{ value: {value} }} }} }}'
        for name, value in values.items()
    )
    return f"features {{ {inner} }}"


def examples(*items):
    return "input { example_list { " + " ".join(f"examples {{ {item} }}" for item in items) + " } }"


def in_context(context, *items):
    inner = " ".join(f"examples {{ {item} }}" for item in items)
    return f"input {{ example_list_with_context {{ context {{ {context} }} {inner} }} }}"


def tasks(*pairs, name="classic"):
    return " ".join(
        f'tasks {{ {spec(name, signature)} method_name: "tensorflow/serving/{method}" }}'
        for signature, method in pairs
    )


X = floats("x", 2)
ONE = examples(features(x=2))


def case_id(case):
    """Name a case by its source, its call and the start of its request."""
    source, method, request = case[:3]
    return f"{source}-{method}-{' '.join(request.split())[:48]}"
