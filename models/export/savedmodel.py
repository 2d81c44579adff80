"""A SavedModel as a file: its ops, which of them a server must not run, and values of inputs left out."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from features.errors import ExportError
from features.storage.files import write_file

#: Ops that read or write files, talk to the network, or run Python: none belongs in a served answer.
UNSAFE = frozenset(
    {
        "ReadFile", "WriteFile", "WholeFileReader", "WholeFileReaderV2", "MatchingFiles", "Save",
        "SaveSlices",
        "FixedLengthRecordReader", "FixedLengthRecordReaderV2", "TextLineReader", "TextLineReaderV2",
        "TFRecordReader", "TFRecordReaderV2", "TFRecordDataset", "TFRecordDatasetV2", "TextLineDataset",
        "FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", "MatchingFilesDataset", "SqlDataset",
        "ReadVariableFromFile", "LoadDataset", "SaveDataset", "SaveDatasetV2", "SnapshotDataset",
        "SnapshotDatasetV2", "DebugIdentityV2", "DebugIdentityV3", "PrintV2", "WriteSummary",
        "PyFunc", "PyFuncStateless", "EagerPyFunc", "Recv", "Send", "_Recv", "_Send", "RpcCall", "RpcClient",
        "RpcServerStart", "DecodeProtoV2", "EncodeProto",
    }
)  # fmt: skip
#: Ops younger than TensorFlow Serving 2.19, which refuses a whole model for one of them.
UNSERVED = frozenset({"DecodeWebP"})
#: Ops that TensorFlow's own saver and asset loading need; allowed in their functions alone.
SAVER_OPS = frozenset(
    {"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename", "Restore", "RestoreSlice"}
)


def _read(directory: Path) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString((directory / "saved_model.pb").read_bytes())
    except Exception as error:
        raise ExportError(
            f"{directory / 'saved_model.pb'} cannot be read", got=f"{type(error).__name__}: {error}"[:200]
        ) from error
    return model


def give_defaults(directory: Path, values: Mapping[str, Any]) -> None:
    """Let requests leave inputs out: TensorFlow Serving then takes a signature's own default.

    Args:
        directory: a SavedModel; its graph is rewritten where a signature has such an input.
        values: arrays by the input's name, of a shape that fits every batch.
    """
    import tensorflow as tf

    model = _read(directory)
    changed = False
    for graph in model.meta_graphs:
        for signature in graph.signature_def.values():
            for name in sorted(set(values) & set(signature.inputs)):
                dtype = signature.inputs[name].dtype
                signature.defaults[name].CopyFrom(tf.make_tensor_proto(values[name], dtype))
                changed = True
    if changed:
        write_file(directory / "saved_model.pb", model.SerializeToString(deterministic=True))


def _nodes(directory: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (function, node, op) for every node; function is empty for the main graph."""
    model = _read(directory)
    for graph in model.meta_graphs:
        for node in graph.graph_def.node:
            yield "", node.name, node.op
        for function in graph.graph_def.library.function:
            for node in function.node_def:
                yield function.signature.name, node.name, node.op


def to_binary(directory: Path) -> None:
    """Write ``saved_model.pb`` in place of a ``saved_model.pbtxt``; does nothing where there is none.

    Raises:
        ExportError: it cannot be read.
    """
    text = directory / "saved_model.pbtxt"
    if not text.is_file():
        return
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        model = text_format.Parse(text.read_text("utf-8"), saved_model_pb2.SavedModel())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ExportError(f"{text.name} cannot be read", got=str(error)[:200]) from error
    write_file(directory / "saved_model.pb", model.SerializeToString(deterministic=True))
    text.unlink()


def unknown(directory: Path) -> list[str]:
    """Describe the nodes whose op TensorFlow does not have, as ``op (node)``: those of other libraries."""
    import tensorflow as tf  # noqa: F401 -- registers the ops
    from tensorflow.python.framework import op_def_registry

    functions = {
        function.signature.name
        for graph in _read(directory).meta_graphs
        for function in graph.graph_def.library.function
    }
    nodes = {
        f"{op} ({node})"
        for _, node, op in _nodes(directory)
        if op not in functions and op_def_registry.get(op) is None
    }
    return sorted(nodes)


def ops(directory: Path) -> set[str]:
    """Name every op in the graph and its functions."""
    return {op for _, _, op in _nodes(directory)}


def forbidden(directory: Path, allow: Collection[str] = ()) -> list[str]:
    """Describe the nodes whose op a server must not run, as ``op (node)``; empty when all is well.

    Args:
        directory: a SavedModel.
        allow: ops allowed on top.
    """
    nodes = set()
    for function, node, op in _nodes(directory):
        saver = function.startswith(("__inference__traced_save", "__inference__traced_restore"))
        unsafe = op in UNSAFE or op in UNSERVED or (op in SAVER_OPS and not saver and function != "")
        if unsafe and op not in allow:
            nodes.add(f"{op} ({node})")
    return sorted(nodes)
