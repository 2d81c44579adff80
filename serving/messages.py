"""The messages that a client exchanges with a model server, made without importing TensorFlow.

The classes of tensorflow-serving-api import all of TensorFlow, which takes seconds. Those here have the same
names, field numbers and types, and so the same bytes on the wire. Fields that a client neither sets nor reads
are left out: protobuf keeps them as unknown fields. A message of one kind cannot be assigned to a field of
the other kind; bytes can be parsed as either.
"""

import re
from collections.abc import Mapping
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_FIELD = descriptor_pb2.FieldDescriptorProto

_DTYPES = (
    "INVALID FLOAT DOUBLE INT32 UINT8 INT16 INT8 STRING COMPLEX64 INT64 BOOL QINT8 QUINT8 QINT32 BFLOAT16 "
    "QINT16 QUINT16 UINT16 COMPLEX128 HALF RESOURCE VARIANT UINT32 UINT64 FLOAT8_E5M2 FLOAT8_E4M3FN "
    "FLOAT8_E4M3FNUZ FLOAT8_E4M3B11FNUZ FLOAT8_E5M2FNUZ INT4 UINT4 INT2 UINT2 FLOAT4_E2M1FN"
)
_STATES = {"UNKNOWN": 0, "START": 10, "LOADING": 20, "AVAILABLE": 30, "UNLOADING": 40, "END": 50}

#: Numbers of dtypes by name, as DT_FLOAT; each has a kind of reference, as DT_FLOAT_REF.
DTYPES = {f"DT_{name}": number for number, name in enumerate(_DTYPES.split())}
DTYPES |= {f"{name}_REF": 100 + number for name, number in DTYPES.items() if number}

#: Enums by full name: their values.
_ENUMS = {
    "tensorflow.DataType": DTYPES,
    "tensorflow.serving.ModelVersionStatus.State": _STATES,
}

#: Messages by full name, outer ones first: fields as in a .proto file, after the name of their oneof if they
#: are part of one. The keys of all maps are strings.
_MESSAGES = {
    "tensorflow.TensorShapeProto": "repeated TensorShapeProto.Dim dim = 2; bool unknown_rank = 3",
    "tensorflow.TensorShapeProto.Dim": "int64 size = 1; string name = 2",
    "tensorflow.TensorProto": """
        DataType dtype = 1; TensorShapeProto tensor_shape = 2; int32 version_number = 3;
        bytes tensor_content = 4; repeated float float_val = 5;
        repeated double double_val = 6; repeated int32 int_val = 7;
        repeated bytes string_val = 8; repeated float scomplex_val = 9; repeated int64 int64_val = 10;
        repeated bool bool_val = 11; repeated double dcomplex_val = 12; repeated int32 half_val = 13;
        repeated uint32 uint32_val = 16; repeated uint64 uint64_val = 17; bytes float8_val = 18
    """,
    "tensorflow.TensorInfo": """
        encoding: string name = 1; DataType dtype = 2; TensorShapeProto tensor_shape = 3
    """,
    "tensorflow.SignatureDef": """
        map<TensorInfo> inputs = 1; map<TensorInfo> outputs = 2; string method_name = 3;
        map<TensorProto> defaults = 4
    """,
    "tensorflow.BytesList": "repeated bytes value = 1",
    "tensorflow.FloatList": "repeated float value = 1",
    "tensorflow.Int64List": "repeated int64 value = 1",
    "tensorflow.Feature": """
        kind: BytesList bytes_list = 1; kind: FloatList float_list = 2; kind: Int64List int64_list = 3
    """,
    "tensorflow.Features": "map<Feature> feature = 1",
    "tensorflow.Example": "Features features = 1",
    "tensorflow.serving.ModelSpec": """
        string name = 1; version_choice: google.protobuf.Int64Value version = 2; string signature_name = 3;
        version_choice: string version_label = 4
    """,
    "tensorflow.serving.PredictRequest": """
        ModelSpec model_spec = 1; map<tensorflow.TensorProto> inputs = 2; repeated string output_filter = 3
    """,
    "tensorflow.serving.PredictResponse": "map<tensorflow.TensorProto> outputs = 1; ModelSpec model_spec = 2",
    "tensorflow.serving.ExampleList": "repeated tensorflow.Example examples = 1",
    "tensorflow.serving.ExampleListWithContext": """
        repeated tensorflow.Example examples = 1; tensorflow.Example context = 2
    """,
    "tensorflow.serving.Input": """
        kind: ExampleList example_list = 1; kind: ExampleListWithContext example_list_with_context = 2
    """,
    "tensorflow.serving.ClassificationRequest": "ModelSpec model_spec = 1; Input input = 2",
    "tensorflow.serving.Class": "string label = 1; float score = 2",
    "tensorflow.serving.Classifications": "repeated Class classes = 1",
    "tensorflow.serving.ClassificationResult": "repeated Classifications classifications = 1",
    "tensorflow.serving.ClassificationResponse": "ClassificationResult result = 1; ModelSpec model_spec = 2",
    "tensorflow.serving.RegressionRequest": "ModelSpec model_spec = 1; Input input = 2",
    "tensorflow.serving.Regression": "float value = 1",
    "tensorflow.serving.RegressionResult": "repeated Regression regressions = 1",
    "tensorflow.serving.RegressionResponse": "RegressionResult result = 1; ModelSpec model_spec = 2",
    "tensorflow.serving.GetModelMetadataRequest": """
        ModelSpec model_spec = 1; repeated string metadata_field = 2
    """,
    "tensorflow.serving.GetModelMetadataResponse": """
        ModelSpec model_spec = 1; map<google.protobuf.Any> metadata = 2
    """,
    "tensorflow.serving.SignatureDefMap": "map<tensorflow.SignatureDef> signature_def = 1",
    "tensorflow.serving.GetModelStatusRequest": "ModelSpec model_spec = 1",
    # The code is an enum of TensorFlow's; the numbers are gRPC's.
    "tensorflow.serving.StatusProto": "int32 error_code = 1; string error_message = 2",
    "tensorflow.serving.ModelVersionStatus": """
        int64 version = 1; ModelVersionStatus.State state = 2; StatusProto status = 3
    """,
    "tensorflow.serving.GetModelStatusResponse": "repeated ModelVersionStatus model_version_status = 1",
}

_LINE = re.compile(r"(?:(\w+): )?(repeated )?(map<)?([\w.]+)>? (\w+) = (\d+)")


def _file(package: str) -> descriptor_pb2.FileDescriptorProto:
    """Describe the messages and enums of a package as a file of their own."""
    # Reading an enum that lacks a value keeps the number in a file of the third syntax alone.
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    messages: dict[str, descriptor_pb2.DescriptorProto] = {}
    for name, text in _of(package, _MESSAGES).items():
        outer, _, inner = name.rpartition(".")
        siblings = messages[outer].nested_type if outer else file.message_type
        messages[name] = siblings.add(name=inner)
        _message(package, messages[name], text)
    for name, values in _of(package, _ENUMS).items():
        outer, _, inner = name.rpartition(".")
        enum = (messages[outer] if outer else file).enum_type.add(name=inner)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    return file


def _of(package: str, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a package by their name in it; names of messages begin with a capital."""
    named = {name.removeprefix(f"{package}."): part for name, part in parts.items()}
    return {name: part for name, part in named.items() if name[0].isupper()}


def _message(package: str, message: descriptor_pb2.DescriptorProto, text: str) -> None:
    oneofs = dict.fromkeys(oneof for oneof, *_ in _LINE.findall(text) if oneof)
    message.oneof_decl.extend(descriptor_pb2.OneofDescriptorProto(name=name) for name in oneofs)
    for oneof, repeated, mapped, kind, name, number in _LINE.findall(text):
        field = message.field.add(name=name, number=int(number), label=_FIELD.LABEL_OPTIONAL)
        if oneof:
            field.oneof_index = list(oneofs).index(oneof)
        if repeated or mapped:
            field.label = _FIELD.LABEL_REPEATED
        if mapped:
            entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
            entry.options.map_entry = True
            _type(package, entry.field.add(name="key", number=1, label=_FIELD.LABEL_OPTIONAL), "string")
            _type(package, entry.field.add(name="value", number=2, label=_FIELD.LABEL_OPTIONAL), kind)
            kind = f"{message.name}.{entry.name}"
        _type(package, field, kind)


def _type(package: str, field: descriptor_pb2.FieldDescriptorProto, kind: str) -> None:
    """Set a field's type: a number, text, bytes, or a message or enum by its name."""
    if kind.islower() and "." not in kind:
        field.type = _FIELD.Type.Value(f"TYPE_{kind.upper()}")
        return
    name = kind if kind.startswith(("google.", "tensorflow.")) else f"{package}.{kind}"
    field.type = _FIELD.TYPE_ENUM if name in _ENUMS else _FIELD.TYPE_MESSAGE
    field.type_name = f".{name}"


def _pool() -> descriptor_pool.DescriptorPool:
    # Not the default pool: TensorFlow adds its own description of these names to that one.
    pool = descriptor_pool.DescriptorPool()
    own = [_file("tensorflow"), _file("tensorflow.serving")]
    own[1].dependency.extend(["tensorflow.proto", any_pb2.DESCRIPTOR.name, wrappers_pb2.DESCRIPTOR.name])
    for file in (any_pb2.DESCRIPTOR, wrappers_pb2.DESCRIPTOR):
        pool.AddSerializedFile(file.serialized_pb)
    for file in own:
        pool.Add(file)
    return pool


_POOL = _pool()


def _class(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


#: Every class by its full name.
CLASSES = {name: _class(name) for name in _MESSAGES}

TensorProto = CLASSES["tensorflow.TensorProto"]
TensorShapeProto = CLASSES["tensorflow.TensorShapeProto"]
Example = CLASSES["tensorflow.Example"]
Input = CLASSES["tensorflow.serving.Input"]
ModelSpec = CLASSES["tensorflow.serving.ModelSpec"]
PredictRequest = CLASSES["tensorflow.serving.PredictRequest"]
PredictResponse = CLASSES["tensorflow.serving.PredictResponse"]
ClassificationRequest = CLASSES["tensorflow.serving.ClassificationRequest"]
ClassificationResponse = CLASSES["tensorflow.serving.ClassificationResponse"]
RegressionRequest = CLASSES["tensorflow.serving.RegressionRequest"]
RegressionResponse = CLASSES["tensorflow.serving.RegressionResponse"]
GetModelMetadataRequest = CLASSES["tensorflow.serving.GetModelMetadataRequest"]
GetModelMetadataResponse = CLASSES["tensorflow.serving.GetModelMetadataResponse"]
SignatureDefMap = CLASSES["tensorflow.serving.SignatureDefMap"]
GetModelStatusRequest = CLASSES["tensorflow.serving.GetModelStatusRequest"]
GetModelStatusResponse = CLASSES["tensorflow.serving.GetModelStatusResponse"]

#: Names of a version's states by number.
STATES: dict[int, str] = {number: name for name, number in _STATES.items()}
