"""The server's configuration files in protobuf text format.

The published Python package of the API leaves three of their messages out: they are described here, field
numbers included, so that protobuf itself reads the files.
"""

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving import descriptions, errors

_PACKAGE = "tensorflow.serving"

_MESSAGES: descriptions.Fields = {
    "PrometheusConfig": (("enable", 1, "bool"), ("path", 2, "string")),
    "MonitoringConfig": (("prometheus_config", 1, f"{_PACKAGE}.PrometheusConfig"),),
    "SSLConfig": (
        ("server_key", 1, "string"),
        ("server_cert", 2, "string"),
        ("custom_ca", 3, "string"),
        ("client_verify", 4, "bool"),
    ),
    "BatchingParameters": (
        ("max_batch_size", 1, "google.protobuf.Int64Value"),
        ("batch_timeout_micros", 2, "google.protobuf.Int64Value"),
        ("max_enqueued_batches", 3, "google.protobuf.Int64Value"),
        ("num_batch_threads", 4, "google.protobuf.Int64Value"),
        ("thread_pool_name", 5, "google.protobuf.StringValue"),
        ("allowed_batch_sizes", 6, "[int64]"),
        ("pad_variable_length_inputs", 7, "bool"),
        ("enable_large_batch_splitting", 8, "google.protobuf.BoolValue"),
        ("max_execution_batch_size", 9, "google.protobuf.Int64Value"),
    ),
}

_CLASSES = descriptions.classes(_PACKAGE, _MESSAGES)


def read(path: Path, empty: Any) -> Any:
    """Read a file into an empty message and give it.

    Raises:
        NotFound, PermissionDenied: it cannot be read.
        InvalidArgument: it cannot be parsed.
    """
    try:
        return text_format.Parse(path.read_text(), empty)
    except (OSError, ValueError, text_format.ParseError) as error:
        kind = empty.DESCRIPTOR.full_name
        raise errors.of_file(error)(
            f"Invalid protobuf file: '{path}': Error parsing text-format {kind}: {error}"
        ) from None


def model_server_config(path: Path) -> model_server_config_pb2.ModelServerConfig:
    """Read a ModelServerConfig (``--model_config_file``); InvalidArgument as for ``read``."""
    return read(path, model_server_config_pb2.ModelServerConfig())


def monitoring_config(path: Path) -> Any:
    """Read a MonitoringConfig (``--monitoring_config_file``); InvalidArgument as for ``read``."""
    return read(path, _CLASSES["MonitoringConfig"]())


def ssl_config(path: Path) -> Any:
    """Read an SSLConfig (``--ssl_config_file``); InvalidArgument as for ``read``."""
    return read(path, _CLASSES["SSLConfig"]())


def batching_parameters(path: Path) -> Any:
    """Read BatchingParameters (``--batching_parameters_file``); InvalidArgument as for ``read``."""
    return read(path, _CLASSES["BatchingParameters"]())
