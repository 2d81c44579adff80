"""Write a trained network as a SavedModel that takes raw bytes or text, and answer as it would.

``model.export()`` writes every variable twice in Keras 3.15 and ``model.save()`` refuses a folder;
a tf.Module that holds the variables themselves writes each once.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from features.errors import ExportError, ServableError, StorageError
from models.export import savedmodel
from models.export.signatures import DEFAULTS
from models.network import Network
from models.task import Absent, Task

#: The signature that is called where a request names none.
DEFAULT = "serving_default"
WARMUP = Path("assets.extra") / "tf_serving_warmup_requests"


def signatures(
    network: Network, task: Task, labels: tuple[str, ...], only: str | None = None
) -> dict[str, Any]:
    """Make the task's signatures that a network has, or one of them: name to concrete function."""
    # Concrete: what is traced while saving would build the featurizer's graph anew, which takes seconds.
    return {
        name: function.get_concrete_function()
        for name, function in _made(network, task, labels).items()
        if not isinstance(function, Absent) and only in (None, name)
    }


def absent(network: Network, task: Task, labels: tuple[str, ...]) -> dict[str, str]:
    """Return the task's signatures that a network cannot have, each with the reason."""
    outcomes = _made(network, task, labels)
    return {name: signature.reason for name, signature in outcomes.items() if isinstance(signature, Absent)}


def _made(network: Network, task: Task, labels: tuple[str, ...]) -> dict[str, Any]:
    def decode(outputs: Any, **options: Any) -> dict[str, Any]:
        return (network.decode or task.decode)(outputs, labels, **options)

    return {name: make(network, task.raw, decode) for name, make in task.signatures.items()}


def predict(
    network: Network,
    task: Task,
    labels: tuple[str, ...],
    raws: Sequence[bytes],
    *,
    batch_size: int = 32,
) -> dict[str, np.ndarray]:
    """Answer raw examples with the training graph itself, in the outputs of ``serving_default``.

    Returns:
        Each output by name, [len(raws), ...].
    """
    return answer(signatures(network, task, labels, DEFAULT)[DEFAULT], raws, batch_size=batch_size)


def answer(function: Any, raws: Sequence[bytes], *, batch_size: int = 32) -> dict[str, np.ndarray]:
    """Answer raw examples with one of the functions that `signatures` made.

    Returns:
        Each output by name, [len(raws), ...].
    """
    batches = (list(raws[start : start + batch_size]) for start in range(0, len(raws), batch_size))
    parts = [
        {name: value.numpy() for name, value in function(tf.constant(batch)).items()} for batch in batches
    ]
    return stacked(parts)


def stacked(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Join the answers to several batches, by output.

    An output with an axis as long as the batch's longest example needs is filled up with zeros or empty
    strings, as the signature itself fills up the shorter examples of a batch.
    """
    joined = {}
    for name in parts[0]:
        arrays = [part[name] for part in parts]
        longest = np.max([array.shape[1:] for array in arrays], axis=0, initial=0)
        joined[name] = np.concatenate([_filled(array, longest) for array in arrays])
    return joined


def _filled(array: np.ndarray, longest: np.ndarray) -> np.ndarray:
    edges = [(0, 0), *((0, int(n - m)) for n, m in zip(longest, array.shape[1:], strict=True))]
    nothing: Any = b"" if array.dtype == object else 0
    return np.pad(array, edges, constant_values=nothing)


def export(
    network: Network,
    task: Task,
    labels: tuple[str, ...],
    directory: Path,
    *,
    warmup: Sequence[bytes],
    model_name: str = "",
    functions: Mapping[str, Any] | None = None,
) -> None:
    """Write a SavedModel with the task's signatures and warmup records.

    Args:
        network: trained.
        task: what its signatures and outputs are.
        labels: in the order of the network's outputs.
        directory: must not exist yet.
        warmup: raw examples; the server answers them before a version counts as loaded.
        model_name: written into the warmup records.
        functions: what `signatures` made of the same network; made here where it is None.

    Raises:
        ExportError: a weight is NaN or infinite.
        StorageError: the disk is full; nothing is left behind.
    """
    _check_finite(network)
    module = tf.Module()
    module.resources = list(getattr(network.featurizer, "resources", ()))
    module.variables_of_network = [variable.value for variable in network.model.variables]
    named = dict(functions or signatures(network, task, labels))
    for name, function in named.items():
        setattr(module, f"signature_{name}", function)
    _clean_on_failure(directory, lambda: _save(module, named, directory, task, warmup, model_name))


def _save(
    module: tf.Module, named: dict[str, Any], directory: Path, task: Task, warmup: Sequence[bytes], name: str
) -> None:
    tf.saved_model.save(module, str(directory), signatures=named)
    savedmodel.give_defaults(directory, DEFAULTS)
    write_warmup(directory, task.raw.input, warmup, name)


def _check_finite(network: Network) -> None:
    for variable in network.model.variables:
        values = variable.numpy()
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ExportError(
                f"weight {variable.path} is not finite",
                got=f"{int((~np.isfinite(values)).sum())} NaN or infinite values",
                todo="train again with a lower learning rate",
            )


def _clean_on_failure(directory: Path, write: Callable[[], None]) -> None:
    try:
        write()
    except ServableError:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    except (OSError, tf.errors.OpError) as error:
        # TensorFlow says OutOfRangeError or ResourceExhaustedError where the file system is full.
        shutil.rmtree(directory, ignore_errors=True)
        raise StorageError(
            f"cannot write the SavedModel {directory}",
            got=f"{type(error).__name__}: {str(error).splitlines()[0]}"[:200],
            todo="free some space and repeat",
        ) from error


def write_warmup(directory: Path, argument: str, raws: Sequence[bytes], model_name: str = "") -> None:
    """Write one PredictionLog per raw example where TensorFlow Serving looks for warmup requests."""
    write_requests(directory, DEFAULT, [{argument: [raw]} for raw in raws], model_name)


def write_requests(
    directory: Path, signature: str, requests: Sequence[Mapping[str, Any]], model_name: str
) -> None:
    """Write one PredictionLog per request, arrays by input, where TensorFlow Serving looks for them."""
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    path = directory / WARMUP
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for inputs in requests:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model_name
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
