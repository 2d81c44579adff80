"""Register an exported SavedModel in MLflow, as its TensorFlow flavour, without unpickling or copying.

The version holds the SavedModel as it was published beside an ``MLmodel`` file, so that
``mlflow.tensorflow.load_model`` gives its serving signature and ``mlflow.pyfunc.load_model``
takes a data frame with one column per input. No code of ours is needed to load it.
"""

import base64
import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

SIGNATURE = "serving_default"
SAVED_MODEL = "saved_model"

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


def describe(saved_model: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the serving signature of a SavedModel from its file, without loading the graph.

    Returns:
        ``inputs`` and ``outputs``, each a list of name, dtype (TensorFlow's name) and rank; plain data.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((saved_model / "saved_model.pb").read_bytes())
    signature = saved.meta_graphs[0].signature_def[SIGNATURE]

    def tensors(infos: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [
            {"name": name, "dtype": tf.dtypes.as_dtype(info.dtype).name, "rank": len(info.tensor_shape.dim)}
            for name, info in sorted(infos.items())
        ]

    return {"inputs": tensors(signature.inputs), "outputs": tensors(signature.outputs)}


def example(inputs: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Write input examples as MLflow reads them back: a data frame in JSON, bytes in base64.

    Args:
        inputs: the examples of every input, by its name.
    """
    columns = list(inputs)
    rows = zip(*(inputs[name] for name in columns), strict=True)
    return {"columns": columns, "data": [[_plain(value) for value in row] for row in rows]}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.tolist() if hasattr(value, "tolist") else value


def register(
    client: "MlflowClient", body: Mapping[str, Any], cursor: dict[str, Any], directory: Path, *, remote: bool
) -> int:
    """Make a model version of a staged SavedModel, or find the one made before.

    Args:
        client: of the store.
        body: of the register event: id, name, file, signature, example, tags, description.
        cursor: of the run, with run_id and experiment_id.
        directory: the run's spool folder.
        remote: the store is a server.

    Returns:
        The number of the version in the registry.
    """
    name, event = body["name"], body["id"]
    _ensure_model(client, name)
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.tags.get("servable.event") == event:
            return int(version.version)
    model_id, location = _logged_model(client, body, cursor, directory)
    made = client.create_model_version(
        name,
        # A server takes logged models by id only; a database resolves ids in the global tracking
        # URI, which is not ours to set.
        source=f"models:/{model_id}" if remote else location,
        run_id=cursor["run_id"],
        tags=body["tags"] | {"servable.event": event},
        description=body["description"],
        await_creation_for=0,
        model_id=model_id,
    )
    return int(made.version)


def _ensure_model(client: "MlflowClient", name: str) -> None:
    try:
        client.create_registered_model(name)
    except Exception as error:
        if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
            raise


def _logged_model(
    client: "MlflowClient", body: Mapping[str, Any], cursor: Mapping[str, Any], directory: Path
) -> tuple[str, str]:
    """Upload the SavedModel as one of MLflow's logged models; returns its id and location."""
    from mlflow.entities import LoggedModelOutput

    experiment, run_id, tags = cursor["experiment_id"], cursor["run_id"], {"servable.event": body["id"]}
    found = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    known = [model for model in found if model.tags.get("servable.event") == body["id"]]
    model = (
        known[0]
        if known
        else client.create_logged_model(experiment, body["name"], source_run_id=run_id, tags=tags)
    )
    if str(model.status) != "READY":
        folder = directory / body["file"]
        _write_files(folder, body, run_id, model.model_id, model.artifact_location)
        client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, "READY")
    outputs = client.get_run(run_id).outputs
    if all(output.model_id != model.model_id for output in (outputs.model_outputs if outputs else ())):
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return model.model_id, model.artifact_location


def _write_files(folder: Path, body: Mapping[str, Any], run_id: str, model_id: str, location: str) -> None:
    """Write what makes a folder with a SavedModel an MLflow model: MLmodel, example, environment."""
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
    # As mlflow.pyfunc.add_to_model does, whose import takes a second and warns.
    model.add_flavor(
        "python_function",
        loader_module="mlflow.tensorflow",
        python_version=platform.python_version(),
        env={"virtualenv": "python_env.yaml"},
    )
    if body["example"]:
        (folder / "input_example.json").write_text(json.dumps(body["example"]), "utf-8")
        info = {"artifact_path": "input_example.json", "type": "dataframe", "pandas_orient": "split"}
        model.saved_input_example_info = info
    wanted = [f"{package}=={metadata.version(package)}" for package in ("mlflow", "tensorflow")]
    (folder / "requirements.txt").write_text("\n".join(wanted) + "\n", "utf-8")
    environment = ("build_dependencies:", "- pip", "dependencies:", "- -r requirements.txt", "")
    lines = "\n".join((f"python: {platform.python_version()}", *environment))
    (folder / "python_env.yaml").write_text(lines, "utf-8")
    model.model_size_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    model.save(folder / "MLmodel")


def _signature(described: Mapping[str, Sequence[Mapping[str, Any]]]) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    def schema(tensors: Sequence[Mapping[str, Any]]) -> Any:
        return Schema([ColSpec(_column_type(tensor), tensor["name"]) for tensor in tensors])

    return ModelSignature(inputs=schema(described["inputs"]), outputs=schema(described["outputs"]))


def _column_type(tensor: Mapping[str, Any]) -> Any:
    """Return the type of one row: nested arrays of rank - 1.

    String tensors called ``…_bytes`` are binary, as in TensorFlow Serving's REST API.
    """
    from mlflow.types import DataType
    from mlflow.types.schema import Array

    kind = "binary" if tensor["name"].endswith("_bytes") else _TYPES[tensor["dtype"]]
    column: Any = DataType[kind]
    for _ in range(tensor["rank"] - 1):
        column = Array(column)
    return column
