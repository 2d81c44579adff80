"""A client of TensorFlow Serving's gRPC API; it works with the embedded server and the real one alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc
import numpy as np
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from features.errors import UnavailableError, UsageError
from serving import errors, tensors

SIGNATURE_DEF = "signature_def"
DEFAULT_SIGNATURE = "serving_default"


class Answer(dict[str, np.ndarray]):
    """The outputs of a model by name, and which version gave them.

    Attributes:
        model: the model's name.
        version: the version that answered.
        signature: the signature that was called.
    """

    def __init__(self, outputs: Mapping[str, np.ndarray], model: str, version: int, signature: str) -> None:
        super().__init__(outputs)
        self.model, self.version, self.signature = model, version, signature


@dataclass(frozen=True)
class VersionStatus:
    """The state of one version of a model.

    Attributes:
        version: its number.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        code: name of the status code, OK where nothing went wrong.
        message: the server's words on what went wrong.
    """

    version: int
    state: str
    code: str = "OK"
    message: str = ""

    @property
    def available(self) -> bool:
        """Whether the version answers."""
        return self.state == "AVAILABLE"


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of a signature: dtype name and shape, None where a size is free; shape None: any rank."""

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """A named function of a model.

    Attributes:
        name: its name.
        method: what it is made for, as ``tensorflow/serving/predict``.
        inputs: tensors it takes, by name.
        outputs: tensors it gives, by name.
    """

    name: str
    method: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


@dataclass(frozen=True)
class Metadata:
    """What a version of a model can do.

    Attributes:
        model: the model's name.
        version: the version.
        signatures: its signatures by name.
    """

    model: str
    version: int
    signatures: Mapping[str, Signature]

    def signature(self, name: str | None = None) -> Signature:
        """Return a signature; None means ``serving_default``.

        Raises:
            UsageError: the model has none of that name.
        """
        chosen = name or DEFAULT_SIGNATURE
        if chosen not in self.signatures:
            raise UsageError(
                f"model {self.model} version {self.version} has no signature {chosen}",
                expected=f"one of {', '.join(sorted(self.signatures))}",
            )
        return self.signatures[chosen]


class Client:
    """Asks a model server.

    Args:
        target: host and port, as ``127.0.0.1:8500``.
        timeout: seconds for each call.
        channel: a channel to use instead of making one (TLS, interceptors, tests); it is not closed.
    """

    def __init__(self, target: str, *, timeout: float = 30.0, channel: grpc.Channel | None = None) -> None:
        self.target, self.timeout = target, timeout
        self._own = channel is None
        self._channel = channel if channel is not None else grpc.insecure_channel(target, _CHANNEL_OPTIONS)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._signatures: dict[tuple[str, int | None, str | None], Metadata] = {}

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel, if the client made it."""
        if self._own:
            self._channel.close()

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        signature: str | None = None,
        version: int | None = None,
        label: str | None = None,
        **named: Any,
    ) -> Answer:
        """Call a signature.

        Args:
            model: the model's name.
            inputs: arrays by input name: for names that are no Python names or stand below.
            signature: the signature; None means ``serving_default``.
            version: a version by number; None with no label means the server's choice, the newest.
            label: a version by label, as ``stable``.
            **named: arrays by input name, sent as they are; lists and single values are made arrays of
                the dtype that the signature says.

        Raises:
            UnavailableError: no server answers at the target.
            ServerError: the server refused; carries its words.
            UsageError: version and label are both given.
        """
        request = predict_pb2.PredictRequest(model_spec=_spec(model, version, label))
        request.model_spec.signature_name = signature or ""
        for name, value in {**(inputs or {}), **named}.items():
            array = self._array(value, name, model, signature, version, label)
            tensors.encode(array, request.inputs[name], content=True)
        response = self._call(self._prediction.Predict, request, model, version)
        spec = response.model_spec
        outputs = {name: tensors.decode(proto, name, limit=None) for name, proto in response.outputs.items()}
        return Answer(outputs, model, spec.version.value, spec.signature_name)

    def _array(
        self,
        value: Any,
        name: str,
        model: str,
        signature: str | None,
        version: int | None,
        label: str | None,
    ) -> np.ndarray:
        if isinstance(value, np.ndarray | np.generic):
            return np.asarray(value)
        if isinstance(value, str | bytes):
            return _text(value)
        array = np.asarray(value)
        if array.dtype.kind in "SUO":
            return _text(value)
        key = (model, version, label)
        if key not in self._signatures:
            self._signatures[key] = self.metadata(model, version, label=label)
        known = self._signatures[key].signatures.get(signature or DEFAULT_SIGNATURE)
        wanted = known.inputs.get(name) if known else None
        if wanted is None or wanted.dtype == "string":
            return array
        return array.astype(tensors.dtype_named(wanted.dtype))

    def status(self, model: str, version: int | None = None) -> list[VersionStatus]:
        """Give the state of every version of a model, or of one, the newest first.

        Raises:
            UnavailableError: no server answers at the target.
            NotFound: the server knows no such model or version.
        """
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=_spec(model, version, None))
        response = self._call(self._models.GetModelStatus, request, model, version)
        return [_version_status(entry) for entry in response.model_version_status]

    def metadata(self, model: str, version: int | None = None, *, label: str | None = None) -> Metadata:
        """Give a model's signatures.

        Raises:
            UnavailableError: no server answers at the target.
            NotFound: the server serves no such model or version.
        """
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=_spec(model, version, label), metadata_field=[SIGNATURE_DEF]
        )
        response = self._call(self._prediction.GetModelMetadata, request, model, version)
        found = get_model_metadata_pb2.SignatureDefMap()
        response.metadata[SIGNATURE_DEF].Unpack(found)
        signatures = {name: _signature(name, proto) for name, proto in found.signature_def.items()}
        return Metadata(model, response.model_spec.version.value, signatures)

    def _call(self, method: Any, request: Any, model: str, version: int | None) -> Any:
        try:
            return method(request, timeout=self.timeout)
        except grpc.RpcError as error:
            raise self._error(error, model, version) from None

    def _error(self, error: Any, model: str, version: int | None) -> Exception:
        code, words = error.code(), error.details() or ""
        if code == grpc.StatusCode.UNAVAILABLE:
            return UnavailableError(
                f"no model server at {self.target}",
                got=words.splitlines()[0] if words else None,
                todo="start one with: servable serve",
            )
        return errors.error_of(code, words, model=model, version=version)


_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A proxy set for the web must not swallow calls to a server on this machine.
    ("grpc.enable_http_proxy", 0),
]


def _spec(model: str, version: int | None, label: str | None) -> model_pb2.ModelSpec:
    if version is not None and label is not None:
        raise UsageError(
            "a version is named twice", got=f"version {version} and label {label}", expected="one"
        )
    spec = model_pb2.ModelSpec(name=model)
    if version is not None:
        spec.version.value = version
    elif label is not None:
        spec.version_label = label
    return spec


def _text(value: Any) -> np.ndarray:
    # NumPy's own text arrays would cut trailing NUL bytes.
    array = np.asarray(value, dtype=object)
    return array if array.shape else array.reshape(())


def _version_status(entry: Any) -> VersionStatus:
    state = get_model_status_pb2.ModelVersionStatus.State.Name(entry.state)
    number = entry.status.error_code
    code = next(code for code in grpc.StatusCode if code.value[0] == number)
    return VersionStatus(entry.version, state, code.name, entry.status.error_message)


def _signature(name: str, proto: Any) -> Signature:
    def specs(tensors: Any) -> dict[str, TensorSpec]:
        return {key: _tensor_spec(tensors[key]) for key in sorted(tensors)}

    return Signature(name, proto.method_name, specs(proto.inputs), specs(proto.outputs))


def _tensor_spec(info: Any) -> TensorSpec:
    if info.tensor_shape.unknown_rank:
        return TensorSpec(tensors.dtype_name(info.dtype), None)
    sizes = tuple(None if size.size < 0 else size.size for size in info.tensor_shape.dim)
    return TensorSpec(tensors.dtype_name(info.dtype), sizes)
