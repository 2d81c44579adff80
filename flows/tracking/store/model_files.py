"""Write what makes a folder with a SavedModel an MLflow model: MLmodel, examples, environment, loader.

``mlflow.tensorflow.load_model`` gives its serving signature; ``mlflow.pyfunc.load_model`` and
``mlflow models serve`` take a data frame with one column per input, and ``signature_name`` among the params.
"""

import base64
import json
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

SIGNATURE = "serving_default"
SAVED_MODEL = "saved_model"
LOADER = Path(__file__).with_name("served_model.py")

#: MLflow's type names by TensorFlow's.
_TYPES = {
    "float32": "float",
    "float64": "double",
    "float16": "float",
    "bfloat16": "float",
    "int8": "integer",
    "int16": "integer",
    "int32": "integer",
    "uint8": "integer",
    "uint16": "integer",
    "int64": "long",
    "uint32": "long",
    "bool": "boolean",
    "string": "string",
}

_WIDE = {"float": "double", "integer": "long"}

Tensors = list[dict[str, Any]]


def describe(saved_model: Path) -> dict[str, Tensors]:
    """Read the signatures of a SavedModel from its file, without loading the graph.

    Returns:
        ``inputs`` and ``outputs`` of ``serving_default``, and ``further``: the inputs of other signatures
        that it does not take. Each is a list of name, dtype (TensorFlow's name) and rank; an input is
        ``optional`` where some signature does without it. Plain data.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((saved_model / "saved_model.pb").read_bytes())
    signatures = saved.meta_graphs[0].signature_def
    callable_ones = [signatures[name] for name in sorted(signatures) if not name.startswith("__")]
    # A model of others may have no serving_default.
    default = signatures[SIGNATURE] if SIGNATURE in signatures else callable_ones[0]
    inputs = _tensors(default.inputs)
    for tensor in inputs:
        tensor["optional"] = any(tensor["name"] not in one.inputs for one in callable_ones)
    further = {
        tensor["name"]: tensor | {"optional": True}
        for one in callable_ones
        for tensor in _tensors(one.inputs)
        if tensor["name"] not in default.inputs
    }
    return {"inputs": inputs, "outputs": _tensors(default.outputs), "further": list(further.values())}


def _tensors(infos: Mapping[str, Any]) -> Tensors:
    import tensorflow as tf

    return [
        {"name": name, "dtype": tf.dtypes.as_dtype(info.dtype).name, "rank": len(info.tensor_shape.dim)}
        for name, info in sorted(infos.items())
    ]


def example(inputs: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Write input examples as MLflow reads them back: a data frame in JSON, binary inputs in base64.

    Args:
        inputs: the examples of every input, by its name.
    """
    columns = list(inputs)
    rows = zip(*(inputs[name] for name in columns), strict=True)
    return {
        "columns": columns,
        "data": [[_plain(*cell) for cell in zip(columns, row, strict=True)] for row in rows],
    }


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode() if is_binary(name) else value.decode("utf-8")
    return value.tolist() if hasattr(value, "tolist") else value


def is_binary(name: str) -> bool:
    """Return whether a string tensor holds bytes and no text, as in TensorFlow Serving's REST API."""
    return name.endswith("_bytes")


def write(folder: Path, body: Mapping[str, Any], run_id: str, model_id: str, location: str) -> None:
    """Write the files beside the SavedModel.

    Args:
        folder: that holds it.
        body: of the register event, with signature and example.
        run_id: of the run.
        model_id: of MLflow's logged model.
        location: where its artifacts will lie.
    """
    from mlflow.models import Model

    model = Model(
        artifact_path=location, run_id=run_id, model_id=model_id, signature=_signature(body["signature"])
    )
    model.add_flavor(
        "tensorflow",
        saved_model_dir=SAVED_MODEL,
        # MLflow's name for a SavedModel loaded by tag and signature, whoever wrote it.
        model_type="tf1-estimator",
        meta_graph_tags=["serve"],
        signature_def_key=SIGNATURE,
    )
    (folder / "code").mkdir(exist_ok=True)
    shutil.copyfile(LOADER, folder / "code" / LOADER.name)
    # As mlflow.pyfunc.add_to_model does, whose import takes a second and warns.
    model.add_flavor(
        "python_function",
        loader_module=LOADER.stem,
        code="code",
        data=SAVED_MODEL,
        python_version=platform.python_version(),
        env={"virtualenv": "python_env.yaml"},
    )
    if body["example"]:
        model.saved_input_example_info = _write_examples(folder, body["example"])
    for name, content in _environment():
        (folder / name).write_text(content, "utf-8")
    model.model_size_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    model.save(folder / "MLmodel")


def _write_examples(folder: Path, frame: Mapping[str, Any]) -> dict[str, str]:
    """Write the example by itself and as the body of a request; return how MLflow finds both."""
    (folder / "input_example.json").write_text(json.dumps(frame), "utf-8")
    (folder / "serving_input_example.json").write_text(json.dumps({"dataframe_split": frame}), "utf-8")
    return {
        "artifact_path": "input_example.json",
        "serving_input_path": "serving_input_example.json",
        "type": "dataframe",
        "pandas_orient": "split",
    }


def _environment() -> Iterator[tuple[str, str]]:
    packages = [f"{package}=={metadata.version(package)}" for package in ("mlflow", "tensorflow")]
    yield "requirements.txt", "\n".join(packages) + "\n"
    lines = ("build_dependencies:", "- pip", "dependencies:", "- -r requirements.txt", "")
    yield "python_env.yaml", "\n".join((f"python: {platform.python_version()}", *lines))


def _signature(described: Mapping[str, Sequence[Mapping[str, Any]]]) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    inputs = [
        # MLflow takes no Python number for a narrow type; the loader narrows it.
        ColSpec(_column_type(each, _WIDE), each["name"], required=not each.get("optional"))
        for each in (*described["inputs"], *described.get("further", ()))
    ]
    return ModelSignature(
        inputs=Schema(inputs),
        outputs=Schema([ColSpec(_column_type(each), each["name"]) for each in described["outputs"]]),
        params=ParamSchema([ParamSpec("signature_name", DataType.string, SIGNATURE)]),
    )


def _column_type(tensor: Mapping[str, Any], instead: Mapping[str, str] | None = None) -> Any:
    """Return the type of one row: nested arrays of rank - 1; ``instead`` replaces names of types."""
    from mlflow.types import DataType
    from mlflow.types.schema import Array

    kind = "binary" if is_binary(tensor["name"]) else _TYPES.get(tensor["dtype"], "binary")
    column: Any = DataType[(instead or {}).get(kind, kind)]
    for _ in range(tensor["rank"] - 1):
        column = Array(column)
    return column
