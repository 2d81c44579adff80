"""Messages that no Python package brings, described by their fields so that protobuf itself reads them."""

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_FIELD = descriptor_pb2.FieldDescriptorProto

#: Message to its fields: name, number, type. A type with a dot is another message, one in brackets repeated.
Fields = Mapping[str, tuple[tuple[str, int, str], ...]]


def classes(package: str, messages: Fields) -> dict[str, Any]:
    """Make the classes of a package's messages, by name.

    Args:
        package: what the messages' names begin with.
        messages: their fields.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"servable/{package}.proto",
        package=package,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for name, fields in messages.items():
        _describe(file.message_type.add(name=name), fields)
    # Not the default pool: others may add their own description of these names to that one.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in messages
    }


def _describe(message: descriptor_pb2.DescriptorProto, fields: tuple[tuple[str, int, str], ...]) -> None:
    for name, number, kind in fields:
        field = message.field.add(name=name, number=number, label=_FIELD.LABEL_OPTIONAL)
        if kind.startswith("["):
            field.label = _FIELD.LABEL_REPEATED
        bare = kind.strip("[]")
        if "." in bare:
            field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{bare}"
        else:
            field.type = _FIELD.Type.Value(f"TYPE_{bare.upper()}")
