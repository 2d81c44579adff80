"""The checks the gate runs on a candidate, each a generator of what it found."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from flows.gate.expectations import Call, read_calls, read_expectations
from flows.runs.state import Check
from models.export import savedmodel
from models.export.export import WARMUP, stacked
from serving.client.client import Client
from serving.config import Options
from serving.server.server import Server

#: Calls that are timed one by one for the latency, after the first ones.
TIMED_CALLS = 30
#: Threads that start the live server, and then ask it.
CALLERS = 3
#: Seconds that one call may take: a map of occlusion is hundreds of answers of what may be a large network.
LONGEST_CALL = 900.0


class Examination:
    """A candidate under examination.

    Args:
        request: see flows.gate.gate.
        wait: returns once the expectations are written; the candidate is loaded before.
    """

    def __init__(self, request: dict[str, Any], wait: Callable[[], object] = lambda: None) -> None:
        self.request, self._wait = request, wait
        self.directory = Path(request["candidate"])
        self.settings = request["settings"]
        self.latency: list[float] = []
        self._callers = ThreadPoolExecutor(CALLERS, "live-server")

    def steps(self) -> list[Callable[[], Iterator[Check]]]:
        """Return the checks in order; a failed one ends the examination."""
        return [
            self._ops,
            self._loads,
            self._signatures,
            self._finite,
            self._parity_of_saved_model,
            self._warmup,
            self._parity_of_live_server,
            self._latency,
        ]

    def close(self) -> None:
        """Stop the live server, if it was started."""
        self._callers.shutdown(wait=True, cancel_futures=True)
        if "_server" in vars(self) and not self._server.cancelled() and self._server.exception() is None:
            self._server.result().stop()

    @cached_property
    def _expectations(self) -> tuple[list[bytes], dict[str, np.ndarray], list[Call]]:
        self._wait()
        folder = Path(self.request["expectations"])
        return *read_expectations(folder), read_calls(folder)

    @property
    def raws(self) -> list[bytes]:
        """The raw examples that are asked about."""
        return self._expectations[0]

    @property
    def expected(self) -> dict[str, np.ndarray]:
        """What the training graph answers to them, by output."""
        return self._expectations[1]

    @property
    def calls(self) -> list[Call]:
        """Calls of the other signatures, with what the training graph answers."""
        return self._expectations[2]

    @cached_property
    def model(self) -> Any:
        """The candidate as this process loaded it."""
        return tf.saved_model.load(str(self.directory))

    @cached_property
    def _server(self) -> Future[Server]:
        """A live server with the candidate; it loads while the SavedModel is checked."""
        options = Options(
            port=0,
            model_name=self.request["model"],
            model_base_path=self.directory.parent,
        )
        return self._callers.submit(lambda: Server(options).start())

    @cached_property
    def _live(self) -> list[Future[dict[str, np.ndarray]]]:
        """What the live server answers to the examples, and to each call; asked side by side.

        Each signature is optimised anew by whoever calls it first, in one thread, which takes longer than
        the answer.
        """
        questions: list[Callable[[], dict[str, np.ndarray]]] = [
            self._ask_examples,
            *(partial(self._ask, call) for call in self.calls),
        ]
        return [self._callers.submit(question) for question in questions]

    def _ops(self) -> Iterator[Check]:
        forbidden = savedmodel.forbidden(self.directory, self.settings["allow_ops"])
        yield Check(
            "ops",
            not forbidden,
            ", ".join(forbidden[:5]) or "all safe",
            "no op that touches files, network or Python",
        )

    def _loads(self) -> Iterator[Check]:
        _ = self._server  # the ops are known to be safe: the candidate may be loaded from now on
        yield Check(
            "loads", bool(self.model.signatures), "loaded", "a SavedModel that loads in a fresh process"
        )

    def _signatures(self) -> Iterator[Check]:
        names = sorted(self.model.signatures)
        yield Check(
            "signatures",
            set(names) >= set(self.request["signatures"]),
            ", ".join(names),
            ", ".join(self.request["signatures"]),
        )
        inputs = self.model.signatures["serving_default"].structured_input_signature[1]
        kinds = {name: spec.dtype.name for name, spec in inputs.items()}
        yield Check(
            "preprocessing inside",
            kinds == {self.request["input"]: "string"},
            ", ".join(f"{name}: {kind}" for name, kind in kinds.items()),
            "raw examples",
        )

    def _finite(self) -> Iterator[Check]:
        weights = tf.train.load_checkpoint(str(self.directory / "variables" / "variables"))
        kinds = weights.get_variable_to_dtype_map()
        floating = [name for name in sorted(kinds) if kinds[name].is_floating]
        wrong = [name for name in floating if not np.isfinite(weights.get_tensor(name)).all()]
        summary = ", ".join(wrong[:3]) or f"{len(floating)} arrays, all finite"
        yield Check("finite weights", not wrong, summary, "no NaN, no infinity")

    def _answer(self, raws: list[bytes]) -> dict[str, np.ndarray]:
        outputs = self.model.signatures["serving_default"](**{self.request["input"]: tf.constant(raws)})
        return {name: value.numpy() for name, value in outputs.items()}

    def _parity_of_saved_model(self) -> Iterator[Check]:
        _ = self._live  # the server is asked meanwhile
        parts = [self._answer(self.raws[start : start + 32]) for start in range(0, len(self.raws), 32)]
        yield self._compare("SavedModel answers as training", stacked(parts), self.expected)

    def _compare(
        self, name: str, answers: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
    ) -> Check:
        allowed = self.settings["parity"]
        worst, place = 0.0, ""
        for output, target in expected.items():
            differing = _difference(answers[output], target)
            if differing.size and differing.max() > worst:
                worst = float(differing.max())
                if worst > allowed:
                    row = int(np.argwhere(differing > allowed)[:1].ravel()[:1].sum())
                    place = f", first in output {output} of example {row}"
        examples = max((len(value) for value in expected.values() if value.ndim), default=1)
        difference = f"largest difference {worst:.2g}{place}" if worst else "identical"
        summary = f"{difference}, {examples} examples"
        return Check(name, worst <= allowed, summary, f"at most {allowed:g}")

    def _latency(self) -> Iterator[Check]:
        for raw in self.raws[:3]:
            self._answer([raw])
        for number in range(TIMED_CALLS):
            begin = time.perf_counter()
            self._answer([self.raws[number % len(self.raws)]])
            self.latency.append((time.perf_counter() - begin) * 1000)
        median = float(np.median(self.latency))
        limit = self.settings["max_latency_ms"]
        passed = limit is None or median <= limit
        yield Check(
            "latency",
            passed,
            f"median {median:.1f} ms",
            f"at most {limit} ms" if limit else "measured",
        )

    def _warmup(self) -> Iterator[Check]:
        records = list(tf.data.TFRecordDataset(str(self.directory / WARMUP)))
        yield Check("warmup", bool(records), f"{len(records)} records", "at least one")

    def _parity_of_live_server(self) -> Iterator[Check]:
        # Of the other signatures the server's answer is the SavedModel's, too.
        answers, *others = self._live
        yield self._compare("live server answers as training", answers.result(), self.expected)
        for call, answer in zip(self.calls, others, strict=True):
            name = f"live server's {call.signature} answers as training"
            yield self._compare(name, answer.result(), call.outputs)

    def _ask_examples(self) -> dict[str, np.ndarray]:
        parts = [self.raws[start : start + 16] for start in range(0, len(self.raws), 16)]
        with Client(self._server.result().target, timeout=LONGEST_CALL) as client:
            requests = ({self.request["input"]: np.array(part, dtype=object)} for part in parts)
            return stacked([dict(client.predict(self.request["model"], inputs)) for inputs in requests])

    def _ask(self, call: Call) -> dict[str, np.ndarray]:
        with Client(self._server.result().target, timeout=LONGEST_CALL) as client:
            return dict(client.predict(self.request["model"], dict(call.inputs), signature=call.signature))

    def serving_metric(self) -> dict[str, Any] | None:
        """Return the serving version's metric on this dataset's test split; measure it if it has to be."""
        serving = self.request["serving"]
        if serving is None or serving["value"] is not None or "note" in serving:
            return serving
        from features.datasets import dataset as datasets
        from flows.gate.comparison import metric_of_saved_model
        from models import tasks

        dataset = datasets.load(Path(serving["dataset"]))
        task = tasks.find(self.request["task"])
        value, note = metric_of_saved_model(Path(serving["path"]), dataset, task)
        return serving | {"value": value, "note": note}


def _difference(got: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return the distance of each element, relative to those beyond 1.

    Texts are 0 or 1 apart, 0 where any text is right (None); other shapes, and NaN, infinitely far.
    """
    if got.shape != expected.shape:
        return np.full(1, np.inf)
    if expected.dtype == object:
        pairs = zip(map(_bytes, got.ravel()), map(_bytes, expected.ravel()), strict=True)
        differs = [float(one != other and other is not None) for one, other in pairs]
        return np.array(differs).reshape(expected.shape)
    differing = np.abs(got.astype(np.float64) - expected) / np.maximum(1.0, np.abs(expected))
    # NaN compares as no difference at all: it must fail.
    return np.where(np.isfinite(differing), differing, np.inf)


def _bytes(cell: Any) -> bytes | None:
    # Not every string is text: some are files. None stands where any text is right.
    return cell if isinstance(cell, bytes) else None if cell is None else str(cell).encode()
