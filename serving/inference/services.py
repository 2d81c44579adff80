"""The gRPC services: each call parsed by its handler, so that garbage is INVALID_ARGUMENT.

Follows model_servers/prediction_service_impl.cc, model_service_impl.cc, get_model_status_impl.cc and
servables/tensorflow/get_model_metadata_impl.cc.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.message import Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from serving import errors
from serving.engine.core import Core, validated
from serving.engine.servable import Served
from serving.engine.states import VersionState
from serving.engine.trial import Client
from serving.inference import examples
from serving.inference import predict as inference
from serving.inference.request_logs import RequestLogs
from serving.service_names import SIGNATURE_DEF

_log = logging.getLogger(__name__)


def nobody() -> str:
    """Return what a client is known by that says nothing of itself."""
    return ""


class Services:
    """The calls that both doors offer, on messages.

    Args:
        core: what answers.
        content: answer Predict with tensor_content instead of typed fields.
        check_methods: insist on the method names of signatures.
        allowed_roots: folders below which a reloaded configuration may name base paths.
        logs: take a sample of what was answered; None for none.
        alone: no other process answers the same callers.
    """

    def __init__(
        self,
        core: Core,
        *,
        content: bool = False,
        check_methods: bool = False,
        allowed_roots: Sequence[Path] = (),
        logs: RequestLogs | None = None,
        alone: bool = True,
    ) -> None:
        self._alone = alone
        self._core, self._content, self._check_methods = core, content, check_methods
        self.logs = logs or RequestLogs()
        self._roots = tuple(root.resolve() for root in allowed_roots)

    def predict(
        self, request: predict_pb2.PredictRequest, client: Client = nobody
    ) -> predict_pb2.PredictResponse:
        """Answer PredictionService/Predict; ``client`` tells what a canary's trial knows the client by."""
        need_spec(request)

        def call(servable: Served) -> predict_pb2.PredictResponse:
            return inference.predict(
                servable, request, content=self._content, check_method=self._check_methods
            )

        response = self._core.answer(request.model_spec, client, call)
        self._log("predict_log", request.model_spec, request, response)
        return response

    def _log(self, kind: str, spec: model_pb2.ModelSpec, request: Message, response: Any) -> None:
        log = self.logs.of(spec.name)
        if log is not None:
            answered = response.model_spec if hasattr(response, "model_spec") else spec
            log.answered(kind, answered, request, response)

    def classify(
        self, request: classification_pb2.ClassificationRequest, client: Client = nobody
    ) -> classification_pb2.ClassificationResponse:
        """Answer PredictionService/Classify; ``client`` as of `predict`."""
        need_spec(request)
        response = self._core.answer(
            request.model_spec,
            client,
            lambda servable: examples.classify(servable, request, check_method=self._check_methods),
        )
        self._log("classify_log", request.model_spec, request, response)
        return response

    def regress(
        self, request: regression_pb2.RegressionRequest, client: Client = nobody
    ) -> regression_pb2.RegressionResponse:
        """Answer PredictionService/Regress; ``client`` as of `predict`."""
        need_spec(request)
        response = self._core.answer(
            request.model_spec,
            client,
            lambda servable: examples.regress(servable, request, check_method=self._check_methods),
        )
        self._log("regress_log", request.model_spec, request, response)
        return response

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, client: Client = nobody
    ) -> inference_pb2.MultiInferenceResponse:
        """Answer PredictionService/MultiInference; the first task says which version answers."""
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        response = self._core.answer(
            spec,
            client,
            lambda servable: examples.multi_inference(servable, request, check_method=self._check_methods),
        )
        self._log("multi_inference_log", spec, request, response)
        return response

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
        for version, state in self._states(request.model_spec).items():
            entry = response.model_version_status.add(version=version, state=int(state.state))
            entry.status.SetInParent()
            entry.status.error_code = state.code.value[0]
            entry.status.error_message = state.message
        return response

    def names(self, request: empty_pb2.Empty) -> struct_pb2.ListValue:
        """Answer servable.Models/List: the names of the configured models."""
        response = struct_pb2.ListValue()
        response.extend(self._core.models())
        return response

    def reload(
        self, request: model_management_pb2.ReloadConfigRequest
    ) -> model_management_pb2.ReloadConfigResponse:
        """Answer ModelService/HandleReloadConfigRequest: take a new configuration of models.

        Raises:
            InvalidArgument: it is no list of models, or cannot be taken.
            PermissionDenied: a base path lies outside the allowed roots, or requests are to be logged.
            FailedPrecondition: further processes answer, which the request does not reach.
        """
        if not self._alone:
            raise errors.FailedPrecondition(
                "HandleReloadConfigRequest reaches one of several processes; change the file of "
                "--model_config_file and let them read it with --model_config_file_poll_wait_seconds"
            )
        if request.config.WhichOneof("config") != "model_config_list":
            raise errors.InvalidArgument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        for entry in validated(request.config).values():
            self._check_root(entry)
            if entry.HasField("logging_config"):
                # It names a file to write.
                raise errors.PermissionDenied(
                    f"Model {entry.name} has a logging_config, which is taken from --model_config_file alone",
                    model=entry.name,
                )
        self._core.reload(request.config)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        for name in request.metric_names:
            response.metric.add(name=name)
        return response

    def _check_root(self, entry: Any) -> None:
        # Links are followed first: a link below a root may lead out of it.
        path = Path(entry.base_path).resolve() if "\0" not in entry.base_path else None
        if path is None or not any(path.is_relative_to(root) for root in self._roots):
            raise errors.PermissionDenied(
                f"Model {entry.name} has a base path outside the allowed roots; the server's administrator "
                "adds one with --allowed_model_roots",
                model=entry.name,
            )

    def _states(self, spec: Any) -> dict[int, VersionState]:
        states = self._core.monitor.versions(spec.name)
        if spec.HasField("version"):
            number = spec.version.value
            if number not in states:
                raise errors.NotFound(f"Could not find version {number} of model {spec.name}")
            return {number: states[number]}
        if not states:
            raise errors.NotFound(f"Could not find any versions of model {spec.name}")
        return states


def need_spec(request: Any) -> None:
    """Refuse a request that names no model."""
    if not request.HasField("model_spec"):
        raise errors.InvalidArgument("Missing ModelSpec")
