"""Twelve foreign models of twelve kinds through ``servable import``: accepted, or refused with the reason."""

import contextlib
import io
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import keras
import numpy as np
import tensorflow as tf

from tests import mlflow_store
from tests.benchmarks.table import SHARED, Table, machine
from tests.serving import saved_models

HUB = SHARED / "hub"
#: Exit codes of an import; any other is a crash.
VERDICTS = {0: "accepted", 65: "refused", 73: "refused"}


@dataclass(frozen=True)
class Foreign:
    """A model made elsewhere, and a request that it can answer."""

    kind: str
    path: Path
    request: dict[str, Any] | None = None


def imports() -> Table:
    """Import every model into one workspace; raise if the command ends in any other way than a verdict."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        environment = {"MLFLOW_TRACKING_URI": mlflow_store.database(root / "mlruns")}
        with patch.dict(os.environ, environment):
            rows = [_imported(model, root) for model in foreign(root / "models")]
    prose = (
        "`servable import`, without `--example` where the table has none: the checks are those of "
        f"[import.md](import.md); {machine()}."
    )
    columns = ("model", "example", "verdict", "signatures, or op or reason", "seconds")
    return Table("imports", "Twelve foreign models", prose, columns, rows)


def _imported(model: Foreign, root: Path) -> tuple[object, ...]:
    name = model.path.stem.replace("_", "-").lower()
    arguments = ["import", str(model.path), "--name", name, "--workspace", str(root / "workspace"), "--json"]
    if model.request is not None:
        (root / "request.json").write_text(json.dumps(model.request))
        arguments += ["--example", str(root / "request.json")]
    began = time.monotonic()
    code, output, errors = _run(arguments)
    if code not in VERDICTS:
        raise AssertionError(f"{model.kind}: exit code {code}: {errors}")
    shown = _signatures(output) if code == 0 else _reason(errors)
    example = "-" if model.request is None else "yes"
    return model.kind, example, VERDICTS[code], shown, f"{time.monotonic() - began:.0f}"


def _run(arguments: list[str]) -> tuple[int, str, str]:
    """Run the command line in this process; return exit code, output and errors."""
    from flows import cli

    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            cli.main(arguments)
        except SystemExit as end:
            return int(end.code or 0), output.getvalue(), errors.getvalue()
    raise AssertionError("the command line returned")


def _signatures(output: str) -> str:
    done = json.loads(output.splitlines()[-1])
    shown = ", ".join(f"`{name}`" for name in done["signatures"])
    return f"{shown} ({'; '.join(done['notes'])})" if done["notes"] else shown


def _reason(errors: str) -> str:
    """Return the check that refused and what it found, without the path of the model."""
    text = " ".join(errors.split())
    check, _, rest = text.partition("; got ")
    found = rest.partition("; expected")[0]
    return f"{check.rpartition(': ')[2]}: {found}".replace("|", "/")[:200]


def foreign(folder: Path) -> Iterator[Foreign]:
    """Make the models that are not shared, one after the other."""
    folder.mkdir(parents=True)
    texts = {"instances": ["good", "bad"]}
    yield Foreign("TF-Hub: classifier of photos", HUB / "mobilenet_v1_025_224_classification")
    yield Foreign("TF-Hub: sounds (YAMNet)", HUB / "yamnet")
    yield Foreign("TF-Hub: vectors of texts", HUB / "glove_twitter_25d_text_embedding", texts)
    yield Foreign("TensorFlow 1, with a table and classify", saved_models.classic(folder / "classic"))
    yield Foreign("Keras file, functional", functional(folder / "functional.keras"))
    yield Foreign("Keras file, subclassed", subclassed(folder / "subclassed.keras"))
    yield Foreign("Keras, subclassed, exported", subclassed(folder / "subclassed_exported"))
    yield examples(folder / "tf_example")
    yield Foreign("lookup tables with assets", tables(folder / "tables"), {"instances": ["two", "three"]})
    yield ragged(folder / "ragged")
    yield Foreign("op younger than TensorFlow Serving", webp(folder / "webp"))
    yield Foreign("Python inside", python(folder / "python"))


def functional(path: Path) -> Path:
    """Save two branches that meet."""
    inputs = keras.Input([4])
    branches = [keras.layers.Dense(3, activation)(inputs) for activation in ("relu", "tanh")]
    keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Concatenate()(branches))).save(path)
    return path


class Tower(keras.Model):
    """A subclassed model."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.hidden, self.top = keras.layers.Dense(3, "relu"), keras.layers.Dense(2)

    def call(self, inputs: Any) -> Any:
        """Compute two numbers."""
        return self.top(self.hidden(inputs))


def subclassed(path: Path) -> Path:
    """Save a subclassed model as a Keras file, or export it as a SavedModel."""
    model = Tower()
    model(np.zeros((1, 4), np.float32))
    if path.suffix:
        model.save(path)
    else:
        model.export(str(path), verbose=False)
    return path


def _save(path: Path, function: Any, spec: Any, **parts: Any) -> Path:
    """Save a function of a batch as `serving_default`."""
    module = tf.Module()
    for name, part in parts.items():
        setattr(module, name, part)
    serve = tf.function(function, input_signature=[spec])
    module.serve = serve
    tf.saved_model.save(module, str(path), signatures={"serving_default": serve})
    return path


TEXTS = tf.TensorSpec([None], tf.string, name="inputs")


def examples(path: Path) -> Foreign:
    """Save a function of serialized tf.Examples."""
    features = {"x": tf.io.FixedLenFeature([2], tf.float32)}
    made = _save(path, lambda inputs: {"y": tf.io.parse_example(inputs, features)["x"] * 2.0}, TEXTS)
    given = tf.train.Example()
    given.features.feature["x"].float_list.value.extend([1.0, 2.0])
    body = {"instances": [{"b64": _base64(given.SerializeToString())}]}
    return Foreign("tf.Example", made, body)


def _base64(content: bytes) -> str:
    import base64

    return base64.b64encode(content).decode()


def tables(path: Path) -> Path:
    """Save a table of words, and one back from their numbers."""
    words = path.with_suffix(".txt")
    words.write_text("one\ntwo\n")
    asset = tf.saved_model.Asset(str(words))
    line, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    to = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(asset, tf.string, line, tf.int64, number), -1
    )
    back = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(asset, tf.int64, number, tf.string, line), "?"
    )
    return _save(
        path,
        lambda inputs: {"id": to.lookup(inputs), "word": back.lookup(to.lookup(inputs))},
        TEXTS,
        asset=asset,
        to=to,
        back=back,
    )


def ragged(path: Path) -> Foreign:
    """Save a function of rows of unequal lengths, which a signature takes as values and where rows begin."""
    made = _save(
        path, lambda rows: {"y": tf.reduce_sum(rows, axis=1)}, tf.RaggedTensorSpec([None, None], tf.float32)
    )
    return Foreign("ragged input", made, {"inputs": {"rows": [1.0, 2.0, 3.0], "rows_1": [0, 2, 3]}})


def webp(path: Path) -> Path:
    """Save a function of WebP pictures."""

    def size(inputs: Any) -> Any:
        pictures = tf.map_fn(lambda one: tf.shape(tf.io.decode_webp(one)), inputs, tf.int32)
        return {"size": pictures}

    return _save(path, size, TEXTS)


def python(path: Path) -> Path:
    """Save a function that calls back into Python."""
    return _save(
        path,
        lambda inputs: {"y": tf.py_function(lambda value: value * 2, [inputs], tf.float32)},
        tf.TensorSpec([None], tf.float32, name="inputs"),
    )
