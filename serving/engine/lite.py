"""One loaded version of a model for TensorFlow Lite, run by the interpreter that comes with TensorFlow.

Follows servables/tensorflow/tflite_session.cc: signatures are those in the file's metadata, or one made of
the names of its tensors; inputs are resized to what a request brings.
"""

import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from flatbuffers import flexbuffers
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.lite.python import schema_py_generated as schema

from serving import errors, tensors
from serving.engine import allocator, deadline
from serving.engine.servable import DEFAULT_SIGNATURE, check_hashes
from serving.engine.workers import aside

#: The file of a version directory that is preferred to a SavedModel where a server is told so.
FILE = "model.tflite"

_SIGNATURES = b"signature_defs_metadata"
_METHOD = "tensorflow/serving/predict"

#: What an interpreter says of a tensor, by the tensor's name.
_Details = dict[str, dict[str, Any]]


class LiteServable:
    """A TensorFlow Lite model that answers.

    Args:
        name: the model's name.
        version: its version.
        path: the version directory; its hashes are checked where it has a manifest.
        interpreters: runs at a time, each by an interpreter of its own; 0 means one per processor.

    Attributes:
        signatures: SignatureDef by name; the tensors are named as in the file.

    Raises:
        ServerError: the file is damaged, or needs operations that the interpreter does not have.
    """

    def __init__(self, name: str, version: int, path: Path, interpreters: int = 0) -> None:
        self.name, self.version, self.path = name, version, path
        check_hashes(name, version, path)
        self._room = threading.Semaphore(interpreters or os.cpu_count() or 1)
        self._idle = [self._made()]
        self._inputs: _Details = {found["name"]: found for found in self._idle[0].get_input_details()}
        self._outputs: _Details = {found["name"]: found for found in self._idle[0].get_output_details()}
        self.signatures = self._signatures()
        self.plans: dict[tuple[Any, ...], Any] = {}

    def _made(self) -> Any:
        try:
            # It announces its end in favour of a package of its own, which speaks to no TensorFlow operation.
            with warnings.catch_warnings(action="ignore"):
                made = tf.lite.Interpreter(model_path=str(self.path / FILE), num_threads=1)
            made.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise errors.DataLoss(f"Cannot load the TFLite model at {self.path / FILE}: {error}") from None
        return made

    def _signatures(self) -> dict[str, meta_graph_pb2.SignatureDef]:
        stored = stored_signatures((self.path / FILE).read_bytes())
        for signature in stored.values():
            for infos, details in ((signature.inputs, self._inputs), (signature.outputs, self._outputs)):
                for alias, info in infos.items():
                    info.name = _name_in_file(alias, info.name, details)
        return stored or {DEFAULT_SIGNATURE: _of_tensors(self._inputs, self._outputs)}

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
        """Run the model.

        Args:
            feeds: values by tensor name.
            fetches: tensor names; one may come twice.

        Raises:
            InvalidArgument: a value is of another dtype, or of a shape that the model does not take.
            Internal: the interpreter fails.
        """
        aside(self._room.acquire)
        try:
            if not deadline.current().waits():
                raise deadline.passed()
            with self._interpreter() as interpreter:
                return aside(self._run, interpreter, feeds, fetches)
        finally:
            self._room.release()

    @contextmanager
    def _interpreter(self) -> Iterator[Any]:
        """Hold an interpreter; one that failed is not used again, for its tensors may be half resized."""
        try:
            interpreter = self._idle.pop()
        except IndexError:
            interpreter = self._made()
        yield interpreter
        self._idle.append(interpreter)

    def _run(self, interpreter: Any, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> Any:
        inputs = [(self._inputs[name], value) for name, value in feeds.items()]
        try:
            for detail, value in inputs:
                # Neither this nor the next call does anything where the shape stays. A file that knows which
                # axes are open is held to it; any other is resized at will, as there.
                declared = -1 in detail["shape_signature"]
                interpreter.resize_tensor_input(detail["index"], np.shape(value), strict=declared)
            interpreter.allocate_tensors()
            for detail, value in inputs:
                interpreter.set_tensor(detail["index"], value)
        except (RuntimeError, ValueError, TypeError) as error:
            raise errors.InvalidArgument(str(error)) from None
        try:
            interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise errors.Internal(f"Failed to invoke TfLite interpreter: {error}") from None
        return [np.array(interpreter.get_tensor(self._outputs[name]["index"])) for name in fetches]

    def close(self) -> None:
        """Free the interpreters; no run may be under way."""
        self._idle.clear()
        allocator.return_memory()


def is_lite(path: Path) -> bool:
    """Return whether a version directory holds a TensorFlow Lite model."""
    return (path / FILE).is_file()


def stored_signatures(content: bytes) -> dict[str, meta_graph_pb2.SignatureDef]:
    """Read the signatures from the metadata of a TensorFlow Lite file; none of a file without them.

    Raises:
        InvalidArgument: the metadata cannot be read.
    """
    model = schema.Model.GetRootAsModel(content, 0)
    entries = (model.Metadata(place) for place in range(model.MetadataLength()))
    entry = next((found for found in entries if found.Name() == _SIGNATURES), None)
    if entry is None:
        return {}
    try:
        packed = flexbuffers.GetRoot(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()).AsMap
        return {
            key.AsKey: meta_graph_pb2.SignatureDef.FromString(packed[key.AsKey].AsStringBytes)
            for key in packed.Keys
        }
    except (DecodeError, TypeError, ValueError, AttributeError) as error:
        raise errors.InvalidArgument(f"Invalid SignatureDefs found in TfLite model: {error}") from None


def _name_in_file(alias: str, name: str, details: _Details) -> str:
    """Return a tensor's name as the file has it: early converters cut what follows the colon."""
    for candidate in (name, name.partition(":")[0]):
        if candidate in details:
            return candidate
    raise errors.Internal(f"Signature tensor {alias} references an unknown tensor: Unknown tensor '{name}'.")


def _of_tensors(inputs: _Details, outputs: _Details) -> meta_graph_pb2.SignatureDef:
    """Make a signature whose aliases are the names of the tensors."""
    signature = meta_graph_pb2.SignatureDef(method_name=_METHOD)
    for infos, details in ((signature.inputs, inputs), (signature.outputs, outputs)):
        # Of the outputs of one operation the last bears its name, as there; here there are the others too.
        short = {name.partition(":")[0]: name for name in sorted(details)}
        for name, detail in details.items():
            alias = name.partition(":")[0]
            info = infos[alias if short[alias] == name else name]
            info.name, info.dtype = name, tensors.dtype_enum(np.dtype(detail["dtype"]))
            for size in detail["shape_signature"]:
                info.tensor_shape.dim.add(size=int(size))
    return signature
