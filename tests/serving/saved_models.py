"""Tiny SavedModels of TensorFlow 1 and 2, whose answers have a closed form."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from serving.tensors import LAYOUTS

v1 = tf.compat.v1

#: The dtypes an identity can be traced for on a CPU; half-byte integers have no kernels.
DTYPES = [
    tf.as_dtype(number) for number in sorted(LAYOUTS) if tf.as_dtype(number).name not in ("int4", "uint4")
]


class _Line(tf.Module):
    """x * a + b, with one variable for each."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.a, self.b = tf.Variable(a, name="a"), tf.Variable(b, name="b")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def line(self, x):
        return {"y": x * self.a + self.b}


def line(path: Path, a: float = 0.5, b: float = 2.0) -> Path:
    """Save y = a x + b as a TensorFlow 2 model with one signature."""
    module = _Line(a, b)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.line})
    return path


class _Zoo(tf.Module):
    """Functions that show how inputs and outputs travel."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 2], tf.float32, name="a"),
            tf.TensorSpec([None], tf.int64, name="b"),
            tf.TensorSpec([None], tf.string, name="c"),
        ]
    )
    def mixed(self, a, b, c):
        return {"sum": tf.reduce_sum(a, 1), "twice": b * 2, "length": tf.strings.length(c), "same": c}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
    def any_rank(self, x):
        return {"rank": tf.rank(x), "x": x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def refuse_negative(self, x):
        with tf.control_dependencies([tf.debugging.assert_non_negative(x, message="x below zero")]):
            return {"root": tf.sqrt(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def no_batch(self, x):
        return {"total": tf.reduce_sum(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def binary(self, image_bytes):
        return {"copy_bytes": image_bytes, "size": tf.strings.length(image_bytes)}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, name="x")])
    def ragged(self, x):
        return {"total": tf.reduce_sum(x, 1), "width": tf.fill([tf.shape(x)[0]], tf.shape(x)[1])}


def zoo(path: Path) -> Path:
    """Save a model with several signatures, one for each way of travelling."""
    module = _Zoo()
    signatures = {
        "serving_default": module.mixed,
        "any_rank": module.any_rank,
        "refuse_negative": module.refuse_negative,
        "no_batch": module.no_batch,
        "binary": module.binary,
        "ragged": module.ragged,
    }
    tf.saved_model.save(module, str(path), signatures=signatures)
    return path


class _Count(tf.Module):
    """A loop of as many steps as its largest input."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="x")])
    def count(self, x):
        most = tf.reduce_max(x)
        counted = tf.while_loop(lambda n: n < most, lambda n: [n + 1], [tf.constant(0, tf.int64)])[0]
        return {"y": tf.fill(tf.shape(x), counted)}


def counting(path: Path) -> Path:
    """Save a model that counts to its largest input, one by one, and answers every row with it."""
    module = _Count()
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.count})
    return path


def identities(path: Path) -> Path:
    """Save one signature for each dtype that gives back what it got."""
    graph = tf.Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        signatures = {}
        for dtype in DTYPES:
            tensor = v1.placeholder(dtype, None, name=f"in_{dtype.name}")
            same = tf.identity(tensor, name=f"out_{dtype.name}")
            signatures[dtype.name] = _signature({"x": tensor}, {"y": same}, "tensorflow/serving/predict")
        _save(session, path, signatures)
    return path


def _signature(inputs, outputs, method):
    info = v1.saved_model.build_tensor_info
    return v1.saved_model.build_signature_def(
        {name: info(tensor) for name, tensor in inputs.items()},
        {name: info(tensor) for name, tensor in outputs.items()},
        method,
    )


def _save(session, path: Path, signatures, tags=("serve",), **settings) -> None:
    builder = v1.saved_model.Builder(str(path))
    builder.add_meta_graph_and_variables(session, list(tags), signatures, **settings)
    builder.save()


def classic(path: Path, a: float = 0.5, b: float = 2.0) -> Path:
    """Save y = a x + b as a TensorFlow 1 model with tf.Example, classify and regress signatures.

    It also classifies by sign with labels from a table in an asset, and reads a vector feature.
    """
    graph = tf.Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        weight, bias = v1.Variable(a, name="a"), v1.Variable(b, name="b")
        examples = v1.placeholder(tf.string, [None], name="tf_example")
        spec = {
            "x": tf.io.FixedLenFeature([1], tf.float32),
            "x2": tf.io.FixedLenFeature([1], tf.float32, default_value=[0.0]),
        }
        parsed = tf.io.parse_example(examples, spec)
        x = tf.identity(parsed["x"], name="x")
        y = tf.add(weight * x, bias, name="y")
        y2 = tf.add(weight * parsed["x2"], bias + 1, name="y2")
        asset = _label_file(path)
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, asset)
        table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                asset,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
            ),
            "?",
        )
        labels = table.lookup(tf.tile(tf.constant([[0, 1]], tf.int64), [tf.shape(x)[0], 1]))
        scores = tf.concat([-y, y], 1, name="scores")
        signatures = {
            "serving_default": _signature({"x": x}, {"y": y}, "tensorflow/serving/predict"),
            "regress_x_to_y": _signature({"inputs": examples}, {"outputs": y}, "tensorflow/serving/regress"),
            "regress_x2_to_y3": _signature(
                {"inputs": examples}, {"outputs": y2}, "tensorflow/serving/regress"
            ),
            "classify_x_to_y": _signature({"inputs": examples}, {"scores": y}, "tensorflow/serving/classify"),
            "classify_sign": _signature(
                {"inputs": examples}, {"scores": scores, "classes": labels}, "tensorflow/serving/classify"
            ),
            "classify_labels": _signature(
                {"inputs": examples}, {"classes": labels}, "tensorflow/serving/classify"
            ),
        }
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        _save(session, path, signatures, main_op=v1.tables_initializer(), assets_collection=[asset])
    return path


def _label_file(path: Path):
    source = path.parent / f".labels-{path.name}.txt"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text("below\nabove\n")
    return tf.constant(str(source))


def sample(dtype: tf.DType, shape: tuple[int, ...]) -> np.ndarray:
    """Draw values that a dtype can hold exactly."""
    rng = np.random.default_rng(7)
    if dtype == tf.string:
        values = np.empty(shape, object)
        values.reshape(-1)[:] = [rng.bytes(int(rng.integers(0, 9))) for _ in range(values.size)]
        return values
    kind = LAYOUTS[dtype.as_datatype_enum].dtype
    if dtype.is_quantized:
        limits = np.iinfo(kind[0])
        return rng.integers(limits.min, limits.max, shape, kind[0], endpoint=True).view(kind)
    if dtype == tf.bool:
        return rng.integers(0, 2, shape).astype(kind)
    if kind.kind == "c":
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(kind)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        return rng.integers(limits.min, limits.max, shape, kind, endpoint=True)
    return rng.normal(size=shape).astype(kind)


def odd(path: Path) -> Path:
    """Save classify and regress signatures whose outputs are of a wrong shape or dtype, each in one way."""
    graph = tf.Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        examples = v1.placeholder(tf.string, [None], name="tf_example")
        count = tf.shape(examples)[0]
        words, numbers = tf.fill([count, 2], "w"), tf.fill([count, 2], 0.5)
        outputs = {
            "classes_of_numbers": {"classes": numbers},
            "classes_of_another_batch": {"classes": tf.fill([count + 1, 2], "w")},
            "classes_of_rank_1": {"classes": tf.fill([count], "w")},
            "scores_of_doubles": {"scores": tf.cast(numbers, tf.float64)},
            "scores_of_another_batch": {"scores": tf.fill([count + 1, 2], 0.5)},
            "scores_of_rank_1": {"scores": tf.fill([count], 0.5)},
            "more_scores_than_classes": {"classes": words, "scores": tf.fill([count, 3], 0.5)},
            "zero_scores": {"scores": tf.fill([count, 2], 0.0)},
            "three_outputs": {"classes": words, "scores": numbers, "more": numbers},
            "neither": {"labels": words},
        }
        signatures = {
            name: _signature({"inputs": examples}, found, CLASSIFY) for name, found in outputs.items()
        }
        values = {
            "values_of_rank_1": tf.fill([count], 0.5),
            "values_of_doubles": tf.fill([count], tf.constant(0.5, tf.float64)),
            "values_of_rank_3": tf.fill([count, 1, 1], 0.5),
            "values_of_two_columns": numbers,
            "values_of_another_batch": tf.fill([count + 1, 1], 0.5),
        }
        for name, found in values.items():
            signatures[name] = _signature({"inputs": examples}, {"outputs": found}, REGRESS)
        signatures["other_input_name"] = _signature({"text": examples}, {"scores": numbers}, CLASSIFY)
        signatures["unknown_method"] = _signature({"text": examples}, {"count": count}, "test/method")
        _save(session, path, signatures)
    return path


def counter(path: Path) -> Path:
    """Save a counter with signatures that read, raise, set back and raise by a given number."""
    graph = tf.Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        count = v1.Variable(0.0, name="count", use_resource=True)
        delta = v1.placeholder(tf.float32, [], name="delta")
        given = v1.placeholder(tf.float32, [], name="given")
        signatures = {
            "get": _signature({}, {"output": tf.identity(count.read_value())}, PREDICT),
            "raise": _signature({}, {"output": tf.identity(v1.assign_add(count, 1.0))}, PREDICT),
            "reset": _signature({}, {"output": tf.identity(v1.assign(count, 0.0))}, PREDICT),
            "raise_by": _signature(
                {"delta": delta}, {"output": tf.identity(v1.assign_add(count, delta))}, PREDICT
            ),
            "with_default": _signature(
                {"delta": delta, "given": given}, {"output": delta * 10.0 + given}, PREDICT
            ),
        }
        signatures["with_default"].defaults["delta"].CopyFrom(tf.make_tensor_proto(3.0))
        session.run(v1.global_variables_initializer())
        _save(session, path, signatures)
    return path


PREDICT, CLASSIFY, REGRESS = (f"tensorflow/serving/{name}" for name in ("predict", "classify", "regress"))
