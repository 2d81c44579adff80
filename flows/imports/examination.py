"""The checks of a foreign model, in the order of their risk: its file, its ops, loading it, asking it."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from flows.runs.state import Check
from models.export import export, keras_file, savedmodel
from serving.client.answers import INIT_SIGNATURES
from serving.client.client import Client
from serving.config import Options
from serving.engine.servable import Servable
from serving.inference import predict
from serving.repository.release import MANIFEST, MODEL_FILES
from serving.rest import json_input
from serving.server.server import Server

#: Largest difference between the function of the SavedModel and the live server.
PARITY = 1e-4
#: What a SavedModel consists of. Documents beside it, as those of another publication, are not copied, nor is
#: ``fingerprint.pb``: it has a hash of the graph before it is rewritten.
PARTS = (*MODEL_FILES, "variables", "assets", "assets.extra")
#: A made-up example has at most so many values.
MOST_VALUES = 10_000_000


class Examination:
    """A foreign model under examination.

    Args:
        request: path, keras, directory (of the candidate, named like a version), model, example (the body
            of a REST request, or None), allow_ops.
    """

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.request = request
        self.directory = Path(request["directory"])
        self.notes: list[str] = []
        self._servable: Servable | None = None
        self._asked: tuple[str, dict[str, np.ndarray]] | None = None

    def steps(self) -> list[Callable[[], Iterator[Check]]]:
        """Return the checks in order; a failed one ends the examination."""
        return [self._file, self._ops, self._loads, self._signatures, self._finite, self._answers]

    def _file(self) -> Iterator[Check]:
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        path = Path(self.request["path"])
        if self.request["keras"]:
            keras_file.export(path, self.directory)
        else:
            for part in (path / name for name in PARTS):
                _copy(part, self.directory / part.name)
            (self.directory / MANIFEST).unlink(missing_ok=True)
            savedmodel.to_binary(self.directory)
        yield Check(
            "file", True, "Keras file, exported" if self.request["keras"] else "SavedModel", "readable"
        )

    def _ops(self) -> Iterator[Check]:
        forbidden = savedmodel.forbidden(self.directory, self.request["allow_ops"])
        unknown = savedmodel.unknown(self.directory)
        yield Check("ops", not forbidden, _some(forbidden), "no op that touches files, network or Python")
        yield Check("known ops", not unknown, _some(unknown), "ops of TensorFlow Serving")

    def _loads(self) -> Iterator[Check]:
        self._servable = Servable(self.request["model"], 1, self.directory)
        yield Check("loads", True, "loaded", "a SavedModel that a server loads")

    def signatures(self) -> list[str]:
        """Name the signatures that can be called."""
        assert self._servable is not None, "loaded before"
        return sorted(self._servable.signatures.keys() - INIT_SIGNATURES)

    def _signatures(self) -> Iterator[Check]:
        names = self.signatures()
        yield Check("signatures", bool(names), ", ".join(names) or "none", "one that a client can call")
        if export.DEFAULT not in names:
            self.notes.append(f"no {export.DEFAULT}: clients have to name a signature ({', '.join(names)})")

    def _finite(self) -> Iterator[Check]:
        file = self.directory / "variables" / "variables"
        wrong = list(_not_finite(file)) if file.with_suffix(".index").is_file() else []
        yield Check("finite weights", not wrong, ", ".join(wrong[:3]) or "all finite", "no NaN, no infinity")

    def _answers(self) -> Iterator[Check]:
        """Ask the SavedModel and a live server about the given example, or one of zeros."""
        servable, example = self._servable, self.request["example"]
        assert servable is not None, "loaded before"
        name, inputs = self._question(servable)
        if inputs is None:
            self.notes.append("not called, because there is no example: give one with --example")
            return
        try:
            _, expected = predict.predict_arrays(servable, name, inputs)
        except Exception as error:
            if example is not None:
                raise
            self.notes.append(f"it does not accept zeros ({_line(error)}): give an example with --example")
            return
        if not (self.directory / export.WARMUP).is_file():
            export.write_requests(self.directory, name, [inputs], self.request["model"])
        yield from self._compare(name, inputs, expected)

    def _question(self, servable: Servable) -> tuple[str, dict[str, np.ndarray] | None]:
        names = self.signatures()
        if self.request["example"] is None:
            name = export.DEFAULT if export.DEFAULT in names else names[0]
            return name, zeros(servable.signatures[name].inputs)
        document = json_input.parse(self.request["example"].encode())
        name = json_input.signature_name(document) or export.DEFAULT
        if name not in names:
            raise ValueError(f"the example asks for signature {name}; the model has {', '.join(names)}")
        return name, json_input.predict_inputs(document, servable.signatures[name].inputs)[0]

    def _compare(
        self, name: str, inputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
    ) -> Iterator[Check]:
        model = self.request["model"]
        options = Options(port=0, model_name=model, model_base_path=self.directory.parent)
        with Server(options) as server, Client(server.target, timeout=600) as client:
            answer = client.predict(model, dict(inputs), signature=name)
        differing = [output for output, value in expected.items() if not _same(answer[output], value)]
        summary = f"differs in {', '.join(differing)}" if differing else f"{len(expected)} outputs alike"
        yield Check(f"live server answers {name}", not differing, summary, "as the SavedModel")


def zeros(inputs: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
    """Make an example of zeros, sizes that vary being 1; None where an input has texts or no shape."""
    arrays = {}
    for name, info in inputs.items():
        sizes = [max(1, dim.size) if dim.size != 0 else 0 for dim in info.tensor_shape.dim]
        dtype = tf.as_dtype(info.dtype) if info.dtype else tf.string
        plain = info.name and (dtype.is_floating or dtype.is_integer or dtype.is_bool)
        if not plain or info.tensor_shape.unknown_rank or np.prod(sizes or [1]) > MOST_VALUES:
            return None
        arrays[name] = np.zeros(sizes, dtype.as_numpy_dtype)
    return arrays


def _not_finite(file: Path) -> Iterator[str]:
    weights = tf.train.load_checkpoint(str(file))
    kinds = weights.get_variable_to_dtype_map()
    for name in sorted(kinds):
        if kinds[name].is_floating and not np.isfinite(weights.get_tensor(name).astype(np.float32)).all():
            yield name


def _same(got: np.ndarray, expected: np.ndarray) -> bool:
    if got.shape != expected.shape:
        return False
    if expected.dtype == object:
        return bool((got == expected).all())
    return bool(np.allclose(got, expected, rtol=PARITY, atol=PARITY, equal_nan=True))


def _some(ops: list[str]) -> str:
    return ", ".join(ops[:5]) or "all safe"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _copy(part: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if part.is_dir():
        shutil.copytree(part, target)
    elif part.exists():
        shutil.copyfile(part, target)
