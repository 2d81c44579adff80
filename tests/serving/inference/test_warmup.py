"""Warmup records: every kind is replayed before a version answers, and a bad one keeps it from answering."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving import errors, tensors
from serving.engine.servable import Servable
from serving.inference import warmup
from tests.serving.inference.test_examples import classification, example, listed, multi, regression


@pytest.fixture
def servable(models, tmp_path):
    # The records lie beside the model: a copy keeps the shared one as it is.
    import shutil

    shutil.copytree(models.root / "classic" / "2", tmp_path / "2")
    made = Servable("classic", 2, tmp_path / "2")
    yield made
    made.close()


def log(kind, request):
    made = prediction_log_pb2.PredictionLog()
    getattr(made, kind).request.CopyFrom(request)
    return made


def predict_log(alias="x"):
    made = prediction_log_pb2.PredictionLog()
    request = made.predict_log.request
    request.model_spec.name = "classic"
    tensors.encode(np.ones((1, 1), np.float32), request.inputs[alias])
    return made


def write(servable, *records):
    path = servable.path / warmup.REQUESTS
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record if isinstance(record, bytes) else record.SerializeToString())


def test_every_kind_of_record_is_replayed_as_often_as_asked(servable, monkeypatch):
    runs = []
    run = Servable.run
    monkeypatch.setattr(Servable, "run", lambda *args: (runs.append(sorted(args[2])), run(*args))[1])
    data = listed(example(x=1))
    write(
        servable,
        predict_log(),
        log("classify_log", classification("classify_sign", data)),
        log("regress_log", regression("regress_x_to_y", data)),
        log("multi_inference_log", multi(data, ("regress_x_to_y", "regress"))),
        prediction_log_pb2.PredictionLog(),
    )
    assert warmup.replay(servable, iterations=2) == 5
    assert len(runs) == 8


def test_no_records_are_fine(servable):
    assert warmup.replay(servable) == 0


@pytest.mark.parametrize(
    ("record", "kind", "words"),
    [
        (predict_log("wrong"), errors.InvalidArgument, "Signature input alias: x"),
        (b"\xff\xff", errors.InvalidArgument, "Failed to parse warmup record"),
        (
            prediction_log_pb2.PredictionLog(session_run_log=prediction_log_pb2.SessionRunLog()),
            errors.Unimplemented,
            "Unsupported log_type for warmup: 5",
        ),
        (
            prediction_log_pb2.PredictionLog(predict_streamed_log=prediction_log_pb2.PredictStreamedLog()),
            errors.Unimplemented,
            "Unsupported log_type for warmup: 7",
        ),
    ],
    ids=["failing", "garbage", "session run", "streamed"],
)
def test_a_record_that_cannot_be_answered_is_told(servable, record, kind, words):
    write(servable, record)
    with pytest.raises(kind, match=words):
        warmup.replay(servable)


def test_a_file_that_is_no_record_file_is_told(servable):
    write(servable, predict_log())
    path = servable.path / warmup.REQUESTS
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(errors.DataLoss, match="Please verify your warmup data is in TFRecord format"):
        warmup.replay(servable)


def test_more_than_a_thousand_records_are_refused(servable):
    write(servable, *[predict_log()] * 1001)
    with pytest.raises(errors.InvalidArgument, match="exceeds the maximum"):
        warmup.replay(servable)
