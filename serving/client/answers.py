"""What a client gives back: outputs, states and signatures as plain Python and NumPy values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np

from features.errors import UsageError
from serving import messages, tensors

SIGNATURE_DEF = "signature_def"
DEFAULT_SIGNATURE = "serving_default"

#: Signatures of TensorFlow's own, by which variables are initialised: not for callers.
INIT_SIGNATURES = frozenset({"__saved_model_init_op", "__saved_model_train_op"})


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
class Model:
    """A model that a server serves.

    Attributes:
        name: its name.
        versions: the state of each version, the newest first.
    """

    name: str
    versions: tuple[VersionStatus, ...]

    @property
    def available(self) -> tuple[int, ...]:
        """The versions that answer, the newest first."""
        return tuple(one.version for one in self.versions if one.available)


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


def answer(response: Any, model: str) -> Answer:
    """Read the answer to a Predict request."""
    spec = response.model_spec
    outputs = {name: tensors.decode(proto, name, limit=None) for name, proto in response.outputs.items()}
    return Answer(outputs, model, spec.version.value, spec.signature_name)


def statuses(response: Any) -> list[VersionStatus]:
    """Read the answer to a GetModelStatus request, the newest version first."""
    return sorted(map(_status, response.model_version_status), key=lambda one: -one.version)


def _status(entry: Any) -> VersionStatus:
    number = entry.status.error_code
    code = next(code for code in grpc.StatusCode if code.value[0] == number)
    return VersionStatus(entry.version, messages.STATES[entry.state], code.name, entry.status.error_message)


def metadata(response: Any, model: str) -> Metadata:
    """Read the answer to a GetModelMetadata request."""
    signature_map = messages.SignatureDefMap()
    response.metadata[SIGNATURE_DEF].Unpack(signature_map)
    return described(model, response.model_spec.version.value, signature_map)


def described(model: str, version: int, found: Any) -> Metadata:
    """Make plain values of a SignatureDefMap."""
    names = found.signature_def.keys() - INIT_SIGNATURES
    signatures = {name: _signature(name, found.signature_def[name]) for name in sorted(names)}
    return Metadata(model, version, signatures)


def _signature(name: str, proto: Any) -> Signature:
    def specs(infos: Any) -> dict[str, TensorSpec]:
        return {key: _tensor_spec(infos[key]) for key in sorted(infos)}

    return Signature(name, proto.method_name, specs(proto.inputs), specs(proto.outputs))


def _tensor_spec(info: Any) -> TensorSpec:
    if info.tensor_shape.unknown_rank:
        return TensorSpec(tensors.dtype_name(info.dtype), None)
    sizes = tuple(None if size.size < 0 else size.size for size in info.tensor_shape.dim)
    return TensorSpec(tensors.dtype_name(info.dtype), sizes)
