"""The contract that every task keeps: one answer, whichever way the same raw examples go."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from features.datasets.feature_store import joined
from features.sounds.featurizer import AudioFeaturizer
from flows.gate.expectations import Call, call
from models.export.export import DEFAULT, absent, answer, signatures
from models.network import Network
from models.search.ranking import settled
from models.task import Task
from serving.client.client import Client

#: Raw examples, the training graph's answers by output, and calls of further signatures with theirs.
Expected = tuple[Sequence[bytes], Mapping[str, np.ndarray], Sequence[Call]]

#: Largest difference between two answers to the same raw example.
PARITY = 1e-5


def check_featurizer(network: Network, raws: Sequence[bytes]) -> None:
    """Compare eager, tf.data and one-by-one features, and their spec."""
    featurizer = network.featurizer
    eager = featurizer(tf.constant(list(raws))).numpy()
    assert len(eager) == len(raws)
    sizes = zip(eager.shape[1:], featurizer.spec.shape, strict=True)
    assert all(wanted in (None, found) for found, wanted in sizes)
    assert eager.dtype == featurizer.spec.dtype
    padding = getattr(featurizer, "padding", None)
    piped = tf.data.Dataset.from_tensor_slices(list(raws)).batch(7).map(featurizer)
    same = _same if isinstance(featurizer, AudioFeaturizer) else np.testing.assert_array_equal
    same(joined([batch.numpy() for batch in piped], padding), eager)
    alone = joined([featurizer(tf.constant([raw])).numpy() for raw in raws[:8]], padding)
    together = featurizer(tf.constant(list(raws[:8]))).numpy()
    same(alone, together)
    shorter = tuple(map(slice, alone.shape[1:]))
    same(eager[(slice(8), *shorter)], alone)
    again = type(featurizer).from_config(featurizer.get_config())
    np.testing.assert_array_equal(again(tf.constant(list(raws))).numpy(), eager)


def _same(found: np.ndarray, wanted: np.ndarray) -> None:
    """Alike but for rounding, which in a matrix product follows the place in the batch on some processors."""
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=PARITY)


def check_server(target: str, task: Task, asked: Expected) -> None:
    """Compare a live server with what the training graph answered to at least 64 raw examples.

    The gate of the same training has compared the SavedModel with these answers in a process of its own.

    Args:
        target: of a server of the model ``golden``.
        task: of the model.
        asked: raw examples, the training graph's answers, and calls of the other signatures with theirs.
    """
    raws, wanted, further = asked
    assert len(raws) >= 64
    # Items that tie but for rounding may stand in either order.
    wanted = settled(dict(wanted), 2 * PARITY) if "paths" in wanted else wanted
    with Client(target, timeout=600) as client:
        compare(dict(client.predict("golden", {task.raw.input: list(raws)})), wanted)
        one = client.predict("golden", {task.raw.input: list(raws[:1])})
        compare(dict(one), {name: value[:1] for name, value in wanted.items()})
        for call in further:
            compare(dict(client.predict("golden", call.inputs, signature=call.signature)), dict(call.outputs))
        described = client.metadata("golden")
    assert {DEFAULT, *(call.signature for call in further)} <= set(described.signatures)
    for signature in described.signatures.values():
        for name, spec in {**signature.inputs, **signature.outputs}.items():
            assert spec.shape is not None, f"{signature.name}: {name} has no rank"
            assert spec.shape[0] is None, f"{signature.name}: {name} has no batch axis"


def check_rebuilt(
    network: Network, task: Task, labels: tuple[str, ...], release: Path, asked: Expected
) -> None:
    """Compare the network that the run's files give again with what it answered when it was trained."""
    raws, wanted, further = asked
    functions = signatures(network, task, labels)
    compare(answer(functions[DEFAULT], raws), wanted)
    function = tf.saved_model.load(str(release)).signatures["serving_default"]
    outputs = function(**{task.raw.input: tf.constant(list(raws))})
    compare({name: value.numpy() for name, value in outputs.items()}, wanted)
    for one in further:
        compare(dict(call(one.signature, functions[one.signature], one.inputs).outputs), dict(one.outputs))
    assert set(functions) | set(absent(network, task, labels)) == set(task.signatures)


#: Largest differences between two answers in pixels of the image, by output; scores differ by 1e-4 at most.
IN_PIXELS = {"points": 0.05, "boxes": 0.1}
SCORES = 1e-4


def check_places(
    target: str, network: Network, task: Task, labels: tuple[str, ...], raws: Sequence[bytes]
) -> dict[str, np.ndarray]:
    """Compare answers in pixels of training graph and live server, together and one by one.

    Returns:
        The answers of the training graph.
    """
    wanted = answer(signatures(network, task, labels, DEFAULT)[DEFAULT], raws)
    with Client(target, timeout=600) as client:
        _compare_places(dict(client.predict("golden", {task.raw.input: list(raws)})), wanted)
        alone = [dict(client.predict("golden", {task.raw.input: [raw]})) for raw in raws]
    _compare_places({name: np.concatenate([one[name] for one in alone]) for name in wanted}, wanted)
    return wanted


def _compare_places(answers: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert answers.keys() == wanted.keys()
    for name, expected in wanted.items():
        if expected.dtype == object:
            assert answers[name].astype(bytes).tolist() == expected.astype(bytes).tolist()
        else:
            allowed = SCORES if name == "scores" else IN_PIXELS.get(name, 0)
            np.testing.assert_allclose(answers[name], expected, rtol=0, atol=allowed)


def compare(answers: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    """Find equal texts, and numbers that differ by rounding alone."""
    assert answers.keys() == wanted.keys()
    for name, expected in wanted.items():
        # A batch's longest example decides the length of some outputs; the rest is filled up with zeros.
        inner = tuple(slice(size) for size in answers[name].shape)
        assert not np.any(np.delete(expected, np.s_[: inner[1].stop], 1)) if expected.ndim > 1 else True
        expected = expected[inner]
        if expected.dtype == object:
            sure = np.not_equal(expected, None)
            assert answers[name][sure].astype(bytes).tolist() == expected[sure].astype(bytes).tolist()
        else:
            # Beyond 1, as of prices, the relative difference counts, as in the gate.
            size = np.maximum(1, np.abs(expected))
            np.testing.assert_allclose(answers[name] / size, expected / size, rtol=0, atol=PARITY)
