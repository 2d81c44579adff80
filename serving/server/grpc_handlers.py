"""gRPC handlers: parse, count, answer."""

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import empty_pb2
from google.protobuf.message import DecodeError, EncodeError, Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from serving import errors
from serving.engine.deadline import Caller, ends_in, waiting
from serving.engine.trial import Client
from serving.inference.services import Services, _log
from serving.metrics import Metrics
from serving.server import profiling
from serving.service_names import CLIENT, LIST_SERVICE, MODEL, PREDICTION, PROFILER

#: Answers a request, whose client can be told apart.
Call = Callable[[Any, Client], Message]

#: The real server cuts messages here before they travel (model_servers/grpc_status_util.cc).
MESSAGE_LIMIT = 1024


def handlers(services: Services, metrics: Metrics, *, profiler: bool = False) -> list[grpc.GenericRpcHandler]:
    """Make the handlers of the services for a gRPC server, which count what they answer.

    Args:
        services: the calls on messages.
        metrics: told of every request.
        profiler: answer TensorFlow's ProfilerService as well.
    """
    prediction = {
        "Predict": handler(predict_pb2.PredictRequest, counted(services.predict, "Predict", metrics)),
        "Classify": handler(
            classification_pb2.ClassificationRequest, counted(services.classify, "Classify", metrics)
        ),
        "Regress": handler(regression_pb2.RegressionRequest, counted(services.regress, "Regress", metrics)),
        "MultiInference": handler(inference_pb2.MultiInferenceRequest, services.multi_inference),
        "GetModelMetadata": handler(get_model_metadata_pb2.GetModelMetadataRequest, alike(services.metadata)),
    }
    model = {
        "GetModelStatus": handler(get_model_status_pb2.GetModelStatusRequest, alike(services.status)),
        "HandleReloadConfigRequest": handler(
            model_management_pb2.ReloadConfigRequest, alike(services.reload)
        ),
    }
    return [
        *((grpc.method_handlers_generic_handler(PROFILER, _profiler()),) if profiler else ()),
        grpc.method_handlers_generic_handler(PREDICTION, prediction),
        grpc.method_handlers_generic_handler(MODEL, model),
        grpc.method_handlers_generic_handler(
            LIST_SERVICE, {"List": handler(empty_pb2.Empty, alike(services.names))}
        ),
    ]


def _profiler() -> dict[str, grpc.RpcMethodHandler]:
    calls = profiling.Profiler()
    return {
        "Profile": handler(profiling.ProfileRequest, alike(calls.profile)),
        "Terminate": handler(profiling.TerminateRequest, alike(calls.terminate)),
        "Monitor": handler(profiling.MonitorRequest, alike(calls.monitor)),
    }


def counted(answer: Call, api: str, metrics: Metrics) -> Call:
    """Count requests and latencies of a call by the model it names."""

    def count(request: Any, client: Client) -> Message:
        with metrics.request(request.model_spec.name, api, "GRPC"):
            return answer(request, client)

    return count


def alike(answer: Callable[[Any], Message]) -> Call:
    """Make a call that answers every client alike."""
    return lambda request, client: answer(request)


def client_of(context: grpc.ServicerContext) -> str:
    """Return what a client is known by: the metadata it sent, or its connection."""
    return next((value for name, value in context.invocation_metadata() if name == CLIENT), context.peer())


def handler(kind: type[Message], answer: Call) -> grpc.RpcMethodHandler:
    """Make the handler of one call: parse, answer, serialise, and turn every failure into its status."""

    def handle(raw: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            with waiting(Caller(context.is_active, ends_in(context.time_remaining()))):
                return serialized(answer(parsed(kind, raw), lambda: client_of(context)))
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
            f"cannot parse the {len(raw)} bytes of the request as {kind.DESCRIPTOR.full_name}"
        ) from None


def serialized(response: Message) -> bytes:
    """Serialise an answer.

    Raises:
        ResourceExhausted: it is over the 2 GiB that a message can have.
    """
    try:
        return response.SerializeToString()
    except (EncodeError, ValueError) as error:
        raise errors.ResourceExhausted(f"cannot serialize the answer: {error}") from None


def truncated(details: str) -> str:
    """Cut a message as the real server does before it travels."""
    return details if len(details) <= MESSAGE_LIMIT else details[:MESSAGE_LIMIT] + "...TRUNCATED"
