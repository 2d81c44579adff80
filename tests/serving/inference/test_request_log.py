"""The request log against TensorFlow's own reader of TFRecord, and what it does under pressure."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import model_management_pb2, predict_pb2, prediction_log_pb2

from features.errors import ConfigError
from serving import text_configs
from serving.client.client import Client
from serving.config import Options
from serving.errors import InvalidArgument, PermissionDenied, ServerError
from serving.inference import request_log
from serving.inference.request_log import RequestLog
from serving.metrics import Metrics
from serving.rest.api import RestApi
from serving.server.server import Server
from tests.serving.conftest import Models


def read(path: Path) -> list[prediction_log_pb2.PredictionLog]:
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    return [prediction_log_pb2.PredictionLog.FromString(record) for record in records]


def message(number: int) -> prediction_log_pb2.PredictionLog:
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = f"m{number}"
    return log


def test_both_doors_log_request_and_answer(models: Models, tmp_path: Path) -> None:
    path = tmp_path / "log"
    options = Options(
        port=0,
        model_name="line",
        model_base_path=models.root / "line",
        request_log=path,
        request_log_share=1.0,
    )
    with Server(options) as server, Client(server.target) as client:
        client.predict("line", x=np.array([1.0, 2.0], np.float32))
        api = RestApi(server._services, server._core, Metrics())
        body = json.dumps({"instances": [5.0]}).encode()
        assert api.answer("POST", "/v1/models/line:predict", body).status == 200
        assert api.answer("POST", "/v1/models/none:predict", body).status == 404
    first, second = read(path)
    for log, sent in ((first, [1.0, 2.0]), (second, [5.0])):
        assert log.log_metadata.model_spec.name == "line"
        assert log.log_metadata.model_spec.version.value == 3
        assert log.log_metadata.sampling_config.sampling_rate == 1
        assert (
            list(log.predict_log.request.inputs["x"].float_val or []) == sent
            or tf.make_ndarray(log.predict_log.request.inputs["x"]).tolist() == sent
        )
        # Version 3 of the line answers x / 2 + 6.
        answered = tf.make_ndarray(log.predict_log.response.outputs["y"])
        assert answered.tolist() == [value / 2 + 6 for value in sent]
    assert path.stat().st_mode & 0o077 == 0
    found = list(request_log.examples(path, "line"))
    assert [inputs["x"].tolist() for _, inputs, _ in found] == [[1.0], [2.0], [5.0]]
    assert list(request_log.examples(path, "other")) == []


def test_a_share_is_drawn_at_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "MOST_WAITING", 10_000)
    log = RequestLog(tmp_path / "log", 0.25)
    for number in range(4000):
        log.offer(1, lambda number=number: message(number))
    log.close()
    # A binomial count of 1,000 with a deviation of 27.
    assert len(read(tmp_path / "log")) == pytest.approx(1000, abs=6 * 27)


def test_what_does_not_fit_the_queue_is_dropped_at_once(tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "log", 1.0)
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> prediction_log_pb2.PredictionLog:
        begun.set()
        go_on.wait()
        return message(0)

    log.offer(1, slow)
    assert begun.wait(60)
    for number in range(request_log.MOST_WAITING + 5):
        log.offer(1, lambda number=number: message(number))
    assert log.dropped == 5
    go_on.set()
    log.close()
    assert len(read(tmp_path / "log")) == 1 + request_log.MOST_WAITING
    log.offer(1, slow)
    assert log.dropped == 6


def test_the_bytes_that_wait_are_bounded(tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "log", 1.0)
    log.offer(request_log.MOST_BYTES + 1, lambda: message(0))
    assert log.dropped == 1
    log.close()


def test_a_full_file_and_an_earlier_one_are_kept_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"earlier")
    log = RequestLog(path, 1.0, most_file_bytes=3 * message(0).ByteSize())
    assert path.with_name("log.1").read_bytes() == b"earlier"
    for number in range(5):
        log.offer(1, lambda number=number: message(number))
    log.close()
    names = [
        [one.predict_log.request.model_spec.name for one in read(tmp_path / f)] for f in ("log.1", "log")
    ]
    assert names == [["m0", "m1", "m2"], ["m3", "m4"]]


def test_a_message_that_fails_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = RequestLog(tmp_path / "log", 1.0)
    log.offer(1, lambda: message(1 // 0))
    log.offer(1, lambda: message(7))
    log.close()
    assert [one.predict_log.request.model_spec.name for one in read(tmp_path / "log")] == ["m7"]
    assert log.dropped == 1
    assert "cannot write" in caplog.text


def test_a_log_that_is_cut_off_is_read_to_there(tmp_path: Path) -> None:
    path = tmp_path / "log"
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["text"].CopyFrom(tf.make_tensor_proto([b"a", b"b"]))
    log = prediction_log_pb2.PredictionLog(predict_log={"request": request})
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(2):
            writer.write(log.SerializeToString())
    path.write_bytes(path.read_bytes()[:-5])
    assert request_log.is_log(path)
    texts = [inputs["text"].tolist() for _, inputs, _ in request_log.examples(path, "m")]
    assert texts == [[b"a"], [b"b"]]
    other = tmp_path / "table.csv"
    other.write_text("text,label\na,b\n" * 100)
    assert not request_log.is_log(other)


@pytest.mark.parametrize(
    ("path", "share", "words"),
    [("log", 0.0, "share"), ("log", 1.5, "share"), ("no/log", 1.0, "cannot write")],
)
def test_a_log_that_cannot_be_is_refused(
    models: Models, tmp_path: Path, path: str, share: float, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        Server(
            Options(
                port=0,
                model_base_path=models.root / "line",
                request_log=tmp_path / path,
                request_log_share=share,
            )
        )


def with_logging(models: Models, *logging: str) -> str:
    entries = [
        f'config {{ name: "{name}" base_path: "{models.root / base}" model_platform: "tensorflow" {text} }}'
        for name, base, text in zip(
            ("line", "again", "classic"), ("line", "line", "classic"), logging, strict=True
        )
    ]
    return f"model_config_list {{ {' '.join(entries)} }}"


def sampled(prefix: Path, share: float) -> str:
    collector = f'log_collector_config {{ filename_prefix: "{prefix}" }}'
    return f"logging_config {{ {collector} sampling_config {{ sampling_rate: {share} }} }}"


def test_a_model_logs_as_its_configuration_says_until_that_changes(models: Models, tmp_path: Path) -> None:
    file, common = tmp_path / "models.config", tmp_path / "common"
    own = sampled(tmp_path / "own", 1)
    file.write_text(with_logging(models, own, own, ""))
    options = Options(port=0, model_config_file=file, request_log=common, request_log_share=1.0)
    with Server(options) as server, Client(server.target) as client:
        for name in ("line", "again"):
            client.predict(name, x=np.array([1.0], np.float32))
        client.classify("classic", [{"x": 2.0}], signature="classify_x_to_y")
        client.regress("classic", [{"x": 2.0}], signature="regress_x_to_y")
        file.write_text(with_logging(models, sampled(tmp_path / "moved", 1), "", ""))
        server._core.reload(text_configs.model_server_config(file))
        for name in ("line", "again"):
            client.predict(name, x=np.array([3.0], np.float32))
        for wrong, words in (
            (sampled(tmp_path / "moved", 1.5), "sampling_rate of 1.5"),
            (sampled(Path("relative"), 0.5), "absolute path"),
            (sampled(tmp_path / "no" / "folder", 1), "cannot write"),
        ):
            file.write_text(with_logging(models, wrong, "", ""))
            with pytest.raises(ServerError, match=words):
                server._core.reload(text_configs.model_server_config(file))
        file.write_text(with_logging(models, own, sampled(tmp_path / "own", 0.5), ""))
        with pytest.raises(InvalidArgument, match="another sampling_rate"):
            server._core.reload(text_configs.model_server_config(file))
        sent = model_management_pb2.ReloadConfigRequest(config=text_configs.model_server_config(file))
        with pytest.raises(PermissionDenied, match="--model_config_file alone"):
            server._services.reload(sent)
        client.predict("line", x=np.array([4.0], np.float32))
    names = {
        path.name: [(log.WhichOneof("log_type"), log.log_metadata.model_spec.name) for log in read(path)]
        for path in (tmp_path / "own.tfrecord", tmp_path / "moved.tfrecord", common)
    }
    assert names == {
        "own.tfrecord": [("predict_log", "line"), ("predict_log", "again")],
        "moved.tfrecord": [("predict_log", "line"), ("predict_log", "line")],
        "common": [("classify_log", "classic"), ("regress_log", "classic"), ("predict_log", "again")],
    }
    (regressed,) = [log for log in read(common) if log.WhichOneof("log_type") == "regress_log"]
    assert regressed.regress_log.response.result.regressions[0].value == 2.0 * 0.5 + 3
    assert regressed.log_metadata.model_spec.version.value == 2
