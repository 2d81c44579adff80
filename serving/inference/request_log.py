"""A sample of the requests that a server answered, on disk as TensorFlow Serving's LoggingConfig writes it.

A TFRecord file of PredictionLog messages. Logging never holds up a request: what does not fit the queue is
dropped, and counted.
"""

import logging
import os
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError, Message
from tensorflow_serving.apis import model_pb2, prediction_log_pb2

from serving import tensors

#: Requests and bytes of requests that wait to be written at most.
MOST_WAITING, MOST_BYTES = 256, 64 << 20
#: Bytes of a file, beyond which it is kept as FILE.1 and a new one begun.
MOST_FILE_BYTES = 256 << 20

_log = logging.getLogger(__name__)

#: Makes a message to log, in the thread that writes it.
Build = Callable[[], prediction_log_pb2.PredictionLog]


class RequestLog:
    """Writes a random share of the requests that it is offered.

    Args:
        path: of the file; one that is there is kept as FILE.1, in place of an earlier one.
        share: of the requests, above 0 up to 1.
        most_file_bytes: of the file.

    Attributes:
        share: of the requests.
        dropped: requests of the sample that were not written, as too many waited or the disk failed.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, share: float, most_file_bytes: int = MOST_FILE_BYTES) -> None:
        self._path, self.share, self._most_file_bytes = path, share, most_file_bytes
        self.dropped = 0
        self._waiting: deque[tuple[int, Build]] = deque()
        self._bytes = 0
        self._written = 0
        self._closed = False
        self._condition = threading.Condition()
        self._open()
        self._thread = threading.Thread(target=self._work, name="request-log", daemon=True)
        self._thread.start()

    def offer(self, size: int, build: Build) -> None:
        """Log a request if it is in the sample and there is room for it; returns at once.

        Args:
            size: bytes of the request.
            build: makes the message; called later, in another thread.
        """
        if random.random() >= self.share:  # noqa: S311 - a sample
            return
        with self._condition:
            if self._closed or len(self._waiting) >= MOST_WAITING or self._bytes + size > MOST_BYTES:
                self.dropped += 1
                return
            self._waiting.append((size, build))
            self._bytes += size
            self._condition.notify()

    def answered(self, kind: str, spec: model_pb2.ModelSpec, request: Message, response: Message) -> None:
        """Offer an answered request.

        Args:
            kind: the field of PredictionLog that takes it.
            spec: the model that answered.
            request: as it came.
            response: its answer.
        """

        def build() -> prediction_log_pb2.PredictionLog:
            log = self._begun(spec)
            getattr(log, kind).request.CopyFrom(request)
            getattr(log, kind).response.CopyFrom(response)
            return log

        self.offer(request.ByteSize(), build)

    def predicted_arrays(
        self,
        spec: model_pb2.ModelSpec,
        size: int,
        inputs: Mapping[str, np.ndarray],
        outputs: Mapping[str, np.ndarray],
    ) -> None:
        """Offer a prediction that came as arrays.

        Args:
            spec: model, version and signature that answered.
            size: bytes of the request.
            inputs: by alias.
            outputs: by alias.
        """

        def build() -> prediction_log_pb2.PredictionLog:
            log = self._begun(spec)
            sent, answered = log.predict_log.request, log.predict_log.response
            for message, arrays in ((sent.inputs, inputs), (answered.outputs, outputs)):
                for alias, array in arrays.items():
                    tensors.encode(array, message[alias], content=False)
            sent.model_spec.CopyFrom(spec)
            answered.model_spec.CopyFrom(spec)
            return log

        self.offer(size, build)

    def _begun(self, spec: model_pb2.ModelSpec) -> prediction_log_pb2.PredictionLog:
        log = prediction_log_pb2.PredictionLog()
        log.log_metadata.model_spec.CopyFrom(spec)
        log.log_metadata.sampling_config.sampling_rate = self.share
        return log

    def close(self) -> None:
        """Write what waits, and close the file."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join()
        if self.dropped:
            _log.warning(
                "request log %s: %d requests of the sample were not written", self._path, self.dropped
            )

    def _work(self) -> None:
        while (build := self._next()) is not None:
            try:
                self._write(build().SerializeToString())
            except Exception:  # a disk that fails, or a message beyond 2 GiB, stops no server
                self.dropped += 1
                _log.exception("cannot write to the request log %s", self._path)
        self._file.close()

    def _next(self) -> Build | None:
        with self._condition:
            if not self._waiting:
                self._flush()
            while not self._waiting and not self._closed:
                self._condition.wait()
            if not self._waiting:
                return None
            size, build = self._waiting.popleft()
            self._bytes -= size
            return build

    def _flush(self) -> None:
        try:
            self._file.flush()
        except tf.errors.OpError:
            _log.exception("cannot write to the request log %s", self._path)

    def _write(self, record: bytes) -> None:
        if self._written and self._written + len(record) > self._most_file_bytes:
            self._file.close()
            self._open()
        self._file.write(record)
        self._written += len(record)

    def _open(self) -> None:
        if self._path.is_file() and self._path.stat().st_size:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        # Raw inputs are for the server's own user alone.
        os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._file = tf.io.TFRecordWriter(str(self._path))
        self._written = 0


def is_log(path: Path) -> bool:
    """Return whether a file begins with a PredictionLog, as a request log does."""
    return next(_messages(path), None) is not None


def examples(path: Path, model: str) -> Iterator[tuple[str, dict[str, np.ndarray], str | None]]:
    """Yield each example of a model's Predict requests in a log, a row of a request at a time.

    Args:
        path: of the log; a record that is still being written ends it.
        model: whose requests.

    Yields:
        What names the example, its inputs by alias as arrays of one row, and the signature; None for
        ``serving_default``. Requests whose inputs are not of one length are passed over.
    """
    for number, log in enumerate(_messages(path), start=1):
        request = log.predict_log.request
        if log.WhichOneof("log_type") != "predict_log" or request.model_spec.name != model:
            continue
        inputs = {alias: tensors.decode(value, alias) for alias, value in request.inputs.items()}
        lengths = {len(array) if array.ndim else 0 for array in inputs.values()}
        for row in range(lengths.pop() if len(lengths) == 1 else 0):
            one = {alias: array[row : row + 1] for alias, array in inputs.items()}
            yield f"{path.name}#{number}.{row + 1}", one, request.model_spec.signature_name or None


def _messages(path: Path) -> Iterator[prediction_log_pb2.PredictionLog]:
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    try:
        for record in records:
            message = prediction_log_pb2.PredictionLog.FromString(record)
            if message.WhichOneof("log_type") is None:
                return
            yield message
    except (tf.errors.DataLossError, DecodeError):
        return
