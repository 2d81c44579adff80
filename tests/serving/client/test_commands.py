"""The printed commands do what the client does: each is run, word by word, against a live server."""

import base64
import io
import json
import shlex
import subprocess
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pytest
import soundfile
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from features.errors import UsageError
from serving import tensors
from serving.client import commands
from serving.config import Options
from serving.server.server import Server

MESSAGES = {
    "Predict": (predict_pb2.PredictRequest, predict_pb2.PredictResponse),
    "GetModelMetadata": (
        get_model_metadata_pb2.GetModelMetadataRequest,
        get_model_metadata_pb2.GetModelMetadataResponse,
    ),
    "GetModelStatus": (
        get_model_status_pb2.GetModelStatusRequest,
        get_model_status_pb2.GetModelStatusResponse,
    ),
}


@pytest.fixture(scope="module")
def rest(models, tmp_path_factory):
    from tests.serving.conftest import config_text

    file = tmp_path_factory.mktemp("commands") / "models.config"
    file.write_text(config_text(models.root))
    with Server(Options(port=0, rest_port=0, model_config_file=file)) as running:
        yield running


def run_curl(command: str):
    """Do what curl would: -d posts its text."""
    words = shlex.split(command)
    assert words[0] == "curl"
    data = words[2].encode() if words[1] == "-d" else None
    with urllib.request.urlopen(urllib.request.Request(words[-1], data=data)) as answer:
        return json.load(answer)


def run_grpcurl(command: str):
    """Do what grpcurl would: read the JSON as the method's request and send it."""
    program, plain, flag, text, target, method = shlex.split(command)
    assert (program, plain, flag) == ("grpcurl", "-plaintext", "-d")
    request, response = MESSAGES[method.rpartition("/")[2]]
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary(f"/{method}", request.SerializeToString, response.FromString)
        return call(json_format.Parse(text, request()), timeout=10)


INPUTS = {"a": np.array([[1, 2], [3, 4]], np.float32), "b": np.array([1, 2]), "c": ["it's", b"\xff\0"]}


def test_curl_predicts(rest):
    got = run_curl(commands.curl_predict(rest.rest_target, "zoo", INPUTS))["outputs"]
    assert got["sum"] == [3.0, 7.0]
    assert got["twice"] == [2, 4]
    assert got["length"] == [4, 2]
    line = commands.curl_predict(
        rest.rest_target, "line", {"x": [1.0]}, version=2, signature="serving_default"
    )
    assert run_curl(line) == {"outputs": [4.5]}


def test_curl_asks_for_status_and_metadata(rest):
    status = run_curl(commands.curl_status(rest.rest_target, "line", 2))
    assert [one["version"] for one in status["model_version_status"]] == ["2"]
    metadata = run_curl(commands.curl_metadata(rest.rest_target, "line"))
    assert metadata["model_spec"]["version"] == "3"


def test_grpcurl_predicts_and_asks(rest):
    answer = run_grpcurl(commands.grpcurl_predict(rest.target, "zoo", INPUTS))
    assert tensors.decode(answer.outputs["same"], "same").tolist() == [b"it's", b"\xff\0"]
    assert (
        run_grpcurl(
            commands.grpcurl_predict(rest.target, "line", {"x": np.float32([1])}, version=2)
        ).model_spec.version.value
        == 2
    )
    assert len(run_grpcurl(commands.grpcurl_status(rest.target, "line")).model_version_status) == 2
    assert run_grpcurl(commands.grpcurl_metadata(rest.target, "line", 2)).model_spec.version.value == 2


def test_names_and_labels_are_quoted_for_the_address_and_the_shell():
    command = commands.curl_predict("h:1", "a b/é", {"x": ["$(rm)"]}, label="sta/ble")
    assert shlex.split(command)[-1] == "http://h:1/v1/models/a%20b%2F%C3%A9/labels/sta%2Fble:predict"
    echoed = subprocess.run(
        ["/bin/sh", "-c", f"printf %s {shlex.split(command)[2]!r}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(echoed.stdout) == {"inputs": {"x": ["$(rm)"]}}


def test_version_and_label_together_are_refused():
    with pytest.raises(UsageError, match="a version and a label"):
        commands.curl_predict("h:1", "m", {}, version=1, label="x")


def piped(command: str) -> tuple[str, list[str]]:
    """Run what stands before the pipe in bash; give what it prints, and the words behind the pipe."""
    printf, _, reader = command.rpartition(" | ")
    done = subprocess.run(["bash"], input=printf, capture_output=True, text=True, check=True)
    return done.stdout, shlex.split(reader)


def test_a_large_file_is_named_and_read_when_the_command_runs(tmp_path):
    path = tmp_path / "a 'b' $c.bin"
    content = bytes(range(256)) * 1000
    path.write_bytes(content)
    odd = 'say "100%\\n"'
    inputs = {
        "x": np.array([commands.FileBytes(content, path)], dtype=object),
        "label": np.array([odd], dtype=object),
    }
    command = commands.curl_predict("h:1", "m", inputs, signature=odd)
    assert len(command) < 1000
    printed, words = piped(command)
    assert words == ["curl", "-d", "@-", "http://h:1/v1/models/m:predict"]
    body = json.loads(printed)
    assert base64.b64decode(body["inputs"]["x"][0]["b64"]) == content
    assert (body["inputs"]["label"], body["signature_name"]) == ([odd], odd)
    command = commands.grpcurl_predict("h:1", "m", inputs)
    assert len(command) < 1000
    printed, words = piped(command)
    assert words == [
        "grpcurl",
        "-plaintext",
        "-d",
        "@",
        "h:1",
        "tensorflow.serving.PredictionService/Predict",
    ]
    request = json_format.Parse(printed, predict_pb2.PredictRequest())
    assert list(request.inputs["x"].string_val) == [content]
    assert list(request.inputs["label"].string_val) == [odd.encode()]


def test_a_large_request_that_no_file_holds_goes_through_a_pipe():
    text = "100% \\n é " * 20_000
    printed, words = piped(commands.curl_predict("h:1", "m", {"text": [text]}))
    assert words[:3] == ["curl", "-d", "@-"]
    assert json.loads(printed)["inputs"]["text"] == [text]
    small = commands.FileBytes(b"\xff", Path("nowhere"))
    assert shlex.split(commands.curl_predict("h:1", "m", {"x": [small]}))[:2] == ["curl", "-d"]


def test_a_printed_command_sends_a_sound_as_the_client_does():
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros((800, 2), np.float32), 8000, format="FLAC")
    command = commands.curl_predict("h:1", "m", {"audio_bytes": [stream.getvalue()]})
    body = json.loads(shlex.split(command)[2])
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(body["inputs"]["audio_bytes"][0]["b64"])))
    assert (samples.shape, rate) == ((800,), 8000)
