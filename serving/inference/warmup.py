"""Warmup: the requests a SavedModel brings along, answered before the first caller's.

Follows servables/tensorflow/saved_model_warmup.cc.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from serving import errors
from serving.engine.servable import Served
from serving.inference import examples, predict

REQUESTS = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS = 1000


def replay(servable: Served, *, iterations: int = 1) -> int:
    """Answer every warmup record and give their number; a model without any is fine.

    Raises:
        ServerError: a record cannot be read, or the model fails on it.
    """
    path = servable.path / REQUESTS
    if not path.is_file():
        return 0
    count = 0
    for log in _records(path):
        count += 1
        if count > MAX_RECORDS:
            raise errors.InvalidArgument(
                f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}"
            )
        for _ in range(max(iterations, 1)):
            _answer(servable, log)
    return count


def _records(path: Path) -> Iterator[prediction_log_pb2.PredictionLog]:
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            yield prediction_log_pb2.PredictionLog.FromString(record)
    except tf.errors.DataLossError as error:
        raise errors.DataLoss(
            f"{error.message}. Please verify your warmup data is in TFRecord format."
        ) from None
    except DecodeError:
        raise errors.InvalidArgument(f"Failed to parse warmup record from {path}") from None


def _answer(servable: Served, log: prediction_log_pb2.PredictionLog) -> None:
    kind = log.WhichOneof("log_type")
    if kind in _ANSWERS:
        _ANSWERS[kind](servable, getattr(log, kind).request)
    elif kind is not None:
        number = log.DESCRIPTOR.fields_by_name[kind].number
        raise errors.Unimplemented(f"Unsupported log_type for warmup: {number}")


_ANSWERS: dict[str, Callable[[Served, Any], Any]] = {
    "predict_log": predict.predict,
    "classify_log": examples.classify,
    "regress_log": examples.regress,
    "multi_inference_log": examples.multi_inference,
}
