"""Models saved once, and one server that serves them all."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from serving.client.client import Client
from serving.config import Options
from serving.inference.services import Services
from serving.metrics import Metrics
from serving.rest.api import RestApi
from serving.server.server import Server
from tests.serving import saved_models
from tests.serving.request_text import REQUESTS


@dataclass(frozen=True)
class Models:
    """SavedModels on disk; version n of ``line`` answers x / 2 + 2 n."""

    root: Path

    def copy_line(self, number: int, base: Path) -> Path:
        """Copy version 1, 2 or 3 of the line below another base path, whole at once, and give its path."""
        target = base / str(number)
        staged = base.parent / f".{base.name}-{number}"
        shutil.copytree(self.root / "line" / str(1 + (number - 1) % 3), staged)
        base.mkdir(parents=True, exist_ok=True)
        return staged.rename(target)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    root = tmp_path_factory.mktemp("saved_models")
    for number in (1, 2, 3):
        saved_models.line(root / "line" / str(number), b=2.0 * number)
    saved_models.zoo(root / "zoo" / "1")
    saved_models.identities(root / "identities" / "1")
    for number in (1, 2):
        saved_models.classic(root / "classic" / str(number), b=2.0 + number - 1)
    return Models(root)


def config_text(root: Path) -> str:
    """Describe all models: the line in versions 2 and 3 with labels, the others in their latest version."""
    entries = [
        f'config {{ name: "{name}" base_path: "{root / name}" model_platform: "tensorflow" {more} }}'
        for name, more in (
            ("line", "model_version_policy { specific { versions: 2 versions: 3 } } "),
            ("zoo", ""),
            ("identities", ""),
            ("classic", "model_version_policy { all {} }"),
        )
    ]
    return f"model_config_list {{ {' '.join(entries)} }}"


@pytest.fixture(scope="session")
def server(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    file = tmp_path_factory.mktemp("config") / "models.config"
    file.write_text(config_text(models.root))
    with Server(Options(port=0, model_config_file=file)) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[Client]:
    with Client(server.target) as made:
        yield made


@pytest.fixture(scope="session")
def rest_api(server: Server) -> RestApi:
    return RestApi(Services(server._core), server._core, Metrics())


@pytest.fixture(scope="session")
def post_json(rest_api: RestApi) -> Callable[[str, str | bytes], tuple[int, Any]]:
    def post(path: str, body: str | bytes) -> tuple[int, Any]:
        text = body if isinstance(body, bytes) else body.encode()
        reply = rest_api.answer("POST", f"/v1/models/{path}", text)
        return reply.status, json.loads(reply.body)

    return post


@pytest.fixture(scope="session")
def conformance_channel(models, tmp_path_factory):
    root = tmp_path_factory.mktemp("conformance")
    saved_models.odd(root / "odd" / "7")
    saved_models.counter(root / "counter" / "5")
    bases = {"odd": root / "odd", "counter": root / "counter"}
    bases |= {name: models.root / name for name in ("line", "classic", "zoo")}
    file = root / "models.config"
    entries = [
        f'config {{ name: "{name}" base_path: "{base}" model_platform: "tensorflow" '
        f"model_version_policy {{ all {{}} }} }}"
        for name, base in bases.items()
    ]
    file.write_text(f"model_config_list {{ {' '.join(entries)} }}")
    with (
        Server(Options(port=0, model_config_file=file)) as server,
        grpc.insecure_channel(server.target) as made,
    ):
        yield made


@pytest.fixture(scope="session")
def ask(conformance_channel):
    prediction = prediction_service_pb2_grpc.PredictionServiceStub(conformance_channel)
    model = model_service_pb2_grpc.ModelServiceStub(conformance_channel)

    def call(method, text):
        """Send a request written as text; give code and details, or OK and the answer."""
        service = model if method == "GetModelStatus" else prediction
        request = text_format.Parse(text, REQUESTS[method]())
        try:
            return grpc.StatusCode.OK, getattr(service, method)(request, timeout=20)
        except grpc.RpcError as error:
            return error.code(), error.details()

    return call
