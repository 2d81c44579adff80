"""The calls of a model server, on a channel of ``grpc`` or of ``grpc.aio``."""

from typing import Any

from google.protobuf import empty_pb2, struct_pb2

from serving import messages
from serving.service_names import LIST_METHOD, MODEL, PREDICTION


class Stubs:
    """What a channel can be called with.

    Args:
        channel: a channel of ``grpc``, or of ``grpc.aio``: its calls are awaited.
    """

    def __init__(self, channel: Any) -> None:
        def call(path: str, request: Any, response: Any) -> Any:
            return channel.unary_unary(path, request.SerializeToString, response.FromString)

        self.predict = call(f"/{PREDICTION}/Predict", messages.PredictRequest, messages.PredictResponse)
        self.classify = call(
            f"/{PREDICTION}/Classify", messages.ClassificationRequest, messages.ClassificationResponse
        )
        self.regress = call(f"/{PREDICTION}/Regress", messages.RegressionRequest, messages.RegressionResponse)
        self.metadata = call(
            f"/{PREDICTION}/GetModelMetadata",
            messages.GetModelMetadataRequest,
            messages.GetModelMetadataResponse,
        )
        self.status = call(
            f"/{MODEL}/GetModelStatus", messages.GetModelStatusRequest, messages.GetModelStatusResponse
        )
        self.models = call(LIST_METHOD, empty_pb2.Empty, struct_pb2.ListValue)
