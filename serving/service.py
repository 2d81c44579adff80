"""The gRPC services: each call parsed by its handler, so that garbage is INVALID_ARGUMENT.

Follows model_servers/prediction_service_impl.cc, model_service_impl.cc, get_model_status_impl.cc and
servables/tensorflow/get_model_metadata_impl.cc.
"""

import logging
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError, EncodeError, Message
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from serving import errors, inference
from serving.core import Core
from serving.states import VersionState

PREDICTION = "tensorflow.serving.PredictionService"
MODEL = "tensorflow.serving.ModelService"
SIGNATURE_DEF = "signature_def"

#: The real server cuts messages here before they travel (model_servers/grpc_status_util.cc).
MESSAGE_LIMIT = 1024

_log = logging.getLogger(__name__)


class Services:
    """The calls that both doors offer, on messages.

    Args:
        core: what answers.
        content: answer Predict with tensor_content instead of typed fields.
    """

    def __init__(self, core: Core, *, content: bool = False) -> None:
        self._core, self._content = core, content

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """Answer PredictionService/Predict."""
        need_spec(request)
        with self._core.lease(request.model_spec) as servable:
            return inference.predict(servable, request, content=self._content)

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Answer PredictionService/GetModelMetadata: the signatures of a version."""
        need_spec(request)
        if not request.metadata_field:
            raise errors.InvalidArgument("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise errors.InvalidArgument(f"Metadata field {field} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self._core.lease(request.model_spec) as servable:
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in servable.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
            response.model_spec.name = servable.name
            response.model_spec.version.value = servable.version
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response

    def status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Answer ModelService/GetModelStatus, the newest version first."""
        need_spec(request)
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, known in self._states(request.model_spec).items():
            entry = response.model_version_status.add(version=version, state=int(known.state))
            entry.status.SetInParent()
            entry.status.error_code = known.code.value[0]
            entry.status.error_message = known.message
        return response

    def _states(self, spec: Any) -> dict[int, VersionState]:
        found = self._core.monitor.versions(spec.name)
        if spec.HasField("version"):
            number = spec.version.value
            if number not in found:
                raise errors.NotFound(f"Could not find version {number} of model {spec.name}")
            return {number: found[number]}
        if not found:
            raise errors.NotFound(f"Could not find any versions of model {spec.name}")
        return found


def need_spec(request: Any) -> None:
    """Refuse a request that names no model."""
    if not request.HasField("model_spec"):
        raise errors.InvalidArgument("Missing ModelSpec")


def handlers(services: Services) -> list[grpc.GenericRpcHandler]:
    """Make the handlers of both services for a gRPC server."""
    prediction = {
        "Predict": handler(predict_pb2.PredictRequest, services.predict),
        "GetModelMetadata": handler(get_model_metadata_pb2.GetModelMetadataRequest, services.metadata),
    }
    model = {"GetModelStatus": handler(get_model_status_pb2.GetModelStatusRequest, services.status)}
    return [
        grpc.method_handlers_generic_handler(PREDICTION, prediction),
        grpc.method_handlers_generic_handler(MODEL, model),
    ]


def handler(kind: type[Message], answer: Callable[[Any], Message]) -> grpc.RpcMethodHandler:
    """Make the handler of one call: parse, answer, serialise, and turn every failure into its status."""

    def handle(raw: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return serialized(answer(parsed(kind, raw)))
        except Exception as error:
            code = errors.code_of(error)
            if code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL):
                _log.exception("%s failed", kind.DESCRIPTOR.full_name)
            return context.abort(code, truncated(errors.words_of(error)))

    return grpc.unary_unary_rpc_method_handler(handle)


def parsed(kind: type[Message], raw: bytes) -> Message:
    """Parse a request.

    Raises:
        InvalidArgument: the bytes are no such message.
    """
    try:
        return kind.FromString(raw)
    except DecodeError:
        raise errors.InvalidArgument(
            f"the request is no {kind.DESCRIPTOR.full_name}: its {len(raw)} bytes cannot be parsed"
        ) from None


def serialized(response: Message) -> bytes:
    """Serialise an answer.

    Raises:
        ResourceExhausted: it is over the 2 GiB that a message can have.
    """
    try:
        return response.SerializeToString()
    except (EncodeError, ValueError) as error:
        raise errors.ResourceExhausted(f"the answer cannot be serialised: {error}") from None


def truncated(details: str) -> str:
    """Cut a message as the real server does before it travels."""
    return details if len(details) <= MESSAGE_LIMIT else details[:MESSAGE_LIMIT] + "...TRUNCATED"
