"""The server's configuration files in protobuf text format.

The published Python package of the API leaves three of their messages out: they are described here, field
numbers included, so that protobuf itself reads the files.
"""

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving import errors

_PACKAGE = "tensorflow.serving"
_FIELD = descriptor_pb2.FieldDescriptorProto

#: Message to its fields: name, number, type. A type with a dot is another message, one in brackets repeated.
_MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
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

_TYPES = {"bool": _FIELD.TYPE_BOOL, "string": _FIELD.TYPE_STRING, "int64": _FIELD.TYPE_INT64}


def _described() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(
        name="servable/text_configs.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            descriptor = message.field.add(name=field, number=number, label=_FIELD.LABEL_OPTIONAL)
            if kind.startswith("["):
                descriptor.label = _FIELD.LABEL_REPEATED
            bare = kind.strip("[]")
            if "." in bare:
                descriptor.type, descriptor.type_name = _FIELD.TYPE_MESSAGE, f".{bare}"
            else:
                descriptor.type = _TYPES[bare]
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return pool


_POOL = _described()


def _empty(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))()


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
    return read(path, _empty("MonitoringConfig"))


def ssl_config(path: Path) -> Any:
    """Read an SSLConfig (``--ssl_config_file``); InvalidArgument as for ``read``."""
    return read(path, _empty("SSLConfig"))


def batching_parameters(path: Path) -> Any:
    """Read BatchingParameters (``--batching_parameters_file``); InvalidArgument as for ``read``."""
    return read(path, _empty("BatchingParameters"))
