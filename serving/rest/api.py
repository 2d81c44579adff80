"""What TensorFlow Serving's REST API answers, apart from how HTTP brings it.

Follows model_servers/http_rest_api_handler.cc, http_rest_api_util.cc and http_server.cc.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from urllib.parse import unquote

import numpy as np
from google.protobuf import json_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    regression_pb2,
)

from serving import errors
from serving.engine.core import Core
from serving.engine.servable import Served
from serving.engine.trial import Client
from serving.inference import predict
from serving.inference.services import Services
from serving.metrics import PATH as METRICS_PATH
from serving.metrics import Metrics
from serving.rest import json_examples, json_input, json_output
from serving.rest.page import document
from serving.rest.routes import PAGE, Route, is_open, route_of
from serving.service_names import SIGNATURE_DEF

JSON = "application/json"
TEXT = "text/plain"
HTML = "text/html; charset=utf-8"

_METRICS_OFF = (
    "Not found: the metrics page is off; --monitoring_config_file=FILE turns it on, with the text "
    "'prometheus_config { enable: true }' in FILE"
)

#: Characters of a message that travel.
MESSAGE_LIMIT = 4096

_WHICH = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_CALL = re.compile(
    rf"/v1/models/(?P<model>[^/:]+){_WHICH}:(?P<method>classify|regress|predict)", re.IGNORECASE
)
_MODEL = re.compile(rf"/v1/models(?:/(?P<model>[^/:]+))?{_WHICH}(?P<metadata>/metadata)?", re.IGNORECASE)
_WEB_ORIGIN = re.compile(r"https?://")

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}

#: Sent with the page: nothing but itself runs in it, frames it or is told where a reader came from.
PAGE_HEADERS = {
    "Content-Security-Policy": document.policy(),
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Reply:
    """An HTTP answer: status, body, its type and further headers."""

    status: int
    body: bytes
    kind: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


class RestApi:
    """Turns a method, a path and a body into a Reply; every failure has one.

    Args:
        services: the calls on messages.
        core: gives the servables to predict with.
        metrics: told of every request.
        metrics_path: path of the Prometheus page, or None for none.
        cors: answer with headers that let other web pages call.
        page: answer with the page to try models.
    """

    def __init__(
        self,
        services: Services,
        core: Core,
        metrics: Metrics,
        *,
        metrics_path: str | None = None,
        cors: bool = False,
        page: bool = False,
    ) -> None:
        self._services, self._core, self._metrics = services, core, metrics
        self._metrics_path, self._cors, self._page = metrics_path, cors, page
        self._routes: dict[Route, Callable[[str, str, bytes, str, str], Reply]] = {
            Route.LIVE: lambda *_: Reply(200, b"ok\n", TEXT),
            Route.READY: self._ready,
            Route.METRICS: lambda *_: Reply(200, self._metrics.page(), TEXT),
            Route.PAGE: self._for_people,
            Route.LIST: self._for_people,
            Route.PREFLIGHT: self._preflight,
            Route.API: self._api,
        }

    def is_open(self, method: str, path: str) -> bool:
        """Return whether a request is answered without a token, where one is required."""
        return is_open(method, path, self._metrics_path)

    def answer(self, method: str, path: str, body: bytes, origin: str = "", client: str = "") -> Reply:
        """Answer a request.

        Args:
            method: GET, POST or OPTIONS; any other is malformed.
            path: the path as it was sent, percent signs and all, without query.
            body: the body, decompressed.
            origin: the Origin header.
            client: what the client is known by while a canary is under way.
        """
        route = route_of(method, path, self._metrics_path)
        if route is None:
            return refusal(404, self._missing(path))
        return self._routes[route](method, path, body, origin, client)

    def _ready(self, *_: object) -> Reply:
        return Reply(200, b"ok\n", TEXT) if self._core.is_ready() else Reply(503, b"not ready\n", TEXT)

    def _preflight(self, method: str, path: str, body: bytes, origin: str, *_: object) -> Reply:
        # The real server answers it whether or not other origins are then allowed.
        return Reply(200 if _WEB_ORIGIN.search(origin) else 400, b"", headers=self._headers())

    def _headers(self) -> dict[str, str]:
        return dict(_CORS) if self._cors else {}

    def _api(self, method: str, path: str, body: bytes, origin: str, client: str) -> Reply:
        try:
            return Reply(200, self._call(method, path, body, client), headers=self._headers())
        except Exception as error:
            code = errors.code_of(error)
            reply = refusal(errors.HTTP_STATUS[code], errors.words_of(error))
            return Reply(reply.status, reply.body, headers=self._headers())

    def _missing(self, path: str) -> str:
        """Say why there is nothing at a path."""
        if path != METRICS_PATH:
            return "Not found: the REST API lies below /v1/models"
        if self._metrics_path is None:
            return _METRICS_OFF
        return f"Not found: the metrics are at {self._metrics_path}, as --monitoring_config_file says"

    def _for_people(self, method: str, path: str, *_: object) -> Reply:
        """Answer with the page, or the models it offers."""
        if not self._page:
            return refusal(404, "Not found: the page is off; --rest_api_page=network turns it on everywhere")
        if path == PAGE:
            return Reply(200, document.served(), HTML, PAGE_HEADERS)
        models = [{"name": name, "labels": self._core.labels(name)} for name in self._core.models()]
        return Reply(200, json.dumps({"models": models}).encode(), headers=self._headers())

    def _call(self, method: str, path: str, body: bytes, client: str) -> bytes:
        match = {"POST": _CALL, "GET": _MODEL}.get(method, _NOTHING).fullmatch(path)
        if match is None:
            raise errors.InvalidArgument(f"Malformed request: {method} {path}")
        spec = model_spec(match)
        if method == "POST":
            return self._infer(match["method"], spec, body, lambda: client)
        if not spec.name:
            raise errors.InvalidArgument("Missing model name in request.")
        return self._metadata(spec) if match["metadata"] else self._status(spec)

    def _infer(self, method: str, spec: model_pb2.ModelSpec, body: bytes, client: Client) -> bytes:
        calls: dict[str, Callable[[model_pb2.ModelSpec, bytes, Client], bytes]] = {
            "predict": self._predict,
            "classify": self._classify,
            "regress": self._regress,
        }
        # The path matches in any case of letters, the method in this one alone.
        if method not in calls:
            raise errors.InvalidArgument(f"Malformed request: POST method {method}")
        with self._metrics.request(spec.name, method.capitalize(), "REST"):
            return calls[method](spec, body, client)

    def _predict(self, spec: model_pb2.ModelSpec, body: bytes, client: Client) -> bytes:
        document = json_input.parse(body)
        name = json_input.signature_name(document) or predict.DEFAULT_SIGNATURE

        def call(servable: Served) -> tuple[int, dict[str, np.ndarray], dict[str, np.ndarray], bool]:
            signature = servable.signatures.get(name)
            if signature is None:
                raise errors.InvalidArgument(f'Serving signature name: "{name}" not found in signature def')
            if not signature.inputs:
                raise errors.InvalidArgument(f"Failed to get input map for signature: {name}")
            arrays, by_row = json_input.predict_inputs(document, signature.inputs)
            started = perf_counter()
            _, outputs = predict.predict_arrays(servable, name, arrays)
            self._metrics.runtime(spec.name, "Predict", perf_counter() - started)
            return servable.version, arrays, outputs, by_row

        version, arrays, outputs, by_row = self._core.answer(spec, client, call)
        log = self._services.logs.of(spec.name)
        if log is not None:
            answered = model_pb2.ModelSpec(name=spec.name, signature_name=name)
            answered.version.value = version
            log.predicted_arrays(answered, len(body), arrays, outputs)
        return json_output.rows(outputs) if by_row else json_output.columns(outputs)

    def _classify(self, spec: model_pb2.ModelSpec, body: bytes, client: Client) -> bytes:
        document = json_input.parse(body)
        spec.signature_name = json_input.signature_name(document)
        request = classification_pb2.ClassificationRequest(
            model_spec=spec, input=json_examples.examples(document)
        )
        return json_output.classifications(self._services.classify(request, client).result)

    def _regress(self, spec: model_pb2.ModelSpec, body: bytes, client: Client) -> bytes:
        document = json_input.parse(body)
        spec.signature_name = json_input.signature_name(document)
        request = regression_pb2.RegressionRequest(model_spec=spec, input=json_examples.examples(document))
        return json_output.regressions(self._services.regress(request, client).result)

    def _status(self, spec: model_pb2.ModelSpec) -> bytes:
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
        return _json(self._services.status(request)).encode()

    def _metadata(self, spec: model_pb2.ModelSpec) -> bytes:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=spec, metadata_field=[SIGNATURE_DEF]
        )
        response = self._services.metadata(request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata[SIGNATURE_DEF].Unpack(signatures)
        parts = (_json(response.model_spec, names=True), _json(signatures, names=True))
        return '{{\n"model_spec":{},\n"metadata": {{"signature_def": {}}}\n}}\n'.format(*parts).encode()


_NOTHING = re.compile(r"(?!)")


def model_spec(match: re.Match[str]) -> model_pb2.ModelSpec:
    """Make the ModelSpec a path names.

    Raises:
        InvalidArgument: its version is over 64 bits.
    """
    spec = model_pb2.ModelSpec(name=unquote(match["model"] or ""))
    if match["version"]:
        number = int(match["version"]) if len(match["version"]) < 20 else 2**63
        if number >= 2**63:
            raise errors.InvalidArgument(f"Failed to convert version: {match['version'][:64]} to numeric.")
        spec.version.value = number
    elif match["label"]:
        spec.version_label = unquote(match["label"])
    return spec


def _json(message: Any, *, names: bool = False) -> str:
    return json_format.MessageToJson(
        message, indent=1, always_print_fields_with_no_presence=True, preserving_proto_field_name=names
    )


def refusal(status: int, message: str) -> Reply:
    """Make the reply that refuses a request; names it repeats may be of any length."""
    cut = message if len(message) <= MESSAGE_LIMIT else f"{message[:MESSAGE_LIMIT]}...TRUNCATED"
    return Reply(status, json_output.error(cut))
