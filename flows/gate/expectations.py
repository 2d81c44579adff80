"""Raw examples and the training graph's answers to them, on disk between the two processes."""

import base64
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from features.storage.files import write_file


@dataclass(frozen=True)
class Call:
    """A call of one signature and what the training graph answered; arrays by name."""

    signature: str
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]


def call(name: str, function: Any, given: Mapping[str, np.ndarray]) -> Call:
    """Ask a signature's function, by the names of its inputs, and keep what it answers."""
    tensors = {argument: tf.constant(value) for argument, value in given.items()}
    specs = tf.nest.flatten(function.structured_input_signature)
    answers = function(*(tensors[spec.name] for spec in specs))
    return Call(name, given, {output: value.numpy() for output, value in answers.items()})


def write_calls(folder: Path, asked: Sequence[Call]) -> None:
    """Keep calls and their answers beside the expectations."""
    rows = [
        {
            "signature": one.signature,
            "inputs": {name: _packed(value) for name, value in one.inputs.items()},
            "outputs": {name: _packed(value) for name, value in one.outputs.items()},
        }
        for one in asked
    ]
    write_file(folder / "calls.json", json.dumps(rows))


def read_calls(folder: Path) -> list[Call]:
    """Read back what write_calls kept."""
    rows = json.loads((folder / "calls.json").read_text())
    return [
        Call(
            row["signature"],
            *(
                {name: _unpacked(value) for name, value in row[side].items()}
                for side in ("inputs", "outputs")
            ),
        )
        for row in rows
    ]


def _packed(array: np.ndarray) -> dict[str, Any]:
    array = np.asarray(array)
    flat = array.ravel().tolist()
    if array.dtype == object:
        flat = [None if cell is None else base64.b64encode(_bytes(cell)).decode() for cell in flat]
    return {"dtype": array.dtype.name, "shape": array.shape, "values": flat}


def _bytes(cell: bytes | str) -> bytes:
    return cell if isinstance(cell, bytes) else cell.encode()


def _unpacked(packed: Mapping[str, Any]) -> np.ndarray:
    values = packed["values"]
    if packed["dtype"] != "object":
        return np.array(values, dtype=packed["dtype"]).reshape(packed["shape"])
    array = np.empty(len(values), dtype=object)
    array[:] = [None if cell is None else base64.b64decode(cell) for cell in values]
    return array.reshape(packed["shape"])


def write_expectations(folder: Path, raws: Sequence[bytes], answers: dict[str, np.ndarray]) -> None:
    """Keep raw examples and answers as plain files, so that another process can compare."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, raw in enumerate(raws):
        (folder / f"{number:04d}.raw").write_bytes(raw)
    plain = {name: value.tolist() for name, value in answers.items() if value.dtype != object}
    texts = {
        name: np.vectorize(lambda cell: None if cell is None else cell.decode(), otypes=[object])(
            value
        ).tolist()
        for name, value in answers.items()
        if value.dtype == object
    }
    write_file(folder / "answers.json", json.dumps({"numbers": plain, "texts": texts}))


def read_expectations(folder: Path) -> tuple[list[bytes], dict[str, np.ndarray]]:
    """Read back what write_expectations kept; numbers as float64, texts as objects of str."""
    raws = [path.read_bytes() for path in sorted(folder.glob("*.raw"))]
    content = json.loads((folder / "answers.json").read_text())
    numbers = {name: np.array(value) for name, value in content["numbers"].items()}
    return raws, numbers | {name: np.array(value, dtype=object) for name, value in content["texts"].items()}
