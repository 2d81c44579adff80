"""The checks the gate runs on a candidate, each a generator of what it found."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from flows.export import read_expectations
from flows.gate import Check
from models import savedmodel
from models.export import WARMUP, stacked
from serving.client import Client
from serving.config import Options
from serving.server import Server

#: Calls that are timed one by one for the latency, after the first ones.
TIMED_CALLS = 30


class Examination:
    """A candidate under examination; see flows.gate for the request."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.directory = Path(request["candidate"])
        self.settings = request["settings"]
        self.raws, self.expected = read_expectations(Path(request["expectations"]))
        self.latency: list[float] = []
        self._starter = ThreadPoolExecutor(1, "live-server")

    def steps(self) -> list[Callable[[], Iterator[Check]]]:
        """Give the checks in order; a failed one ends the examination."""
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
        self._starter.shutdown(wait=True)
        if "_server" in vars(self) and self._server.exception() is None:
            self._server.result().stop()

    @cached_property
    def model(self) -> Any:
        """The candidate as this process loaded it."""
        return tf.saved_model.load(str(self.directory))

    @cached_property
    def _server(self) -> Future[Server]:
        """A live server with the candidate; it loads while the SavedModel is checked."""
        options = Options(port=0, model_name=self.request["model"], model_base_path=self.directory.parent)
        return self._starter.submit(lambda: Server(options).start())

    def _ops(self) -> Iterator[Check]:
        found = savedmodel.forbidden(self.directory, self.settings["allow_ops"])
        yield Check(
            "ops",
            not found,
            ", ".join(found[:5]) or "all safe",
            "no op that touches files, network or Python",
        )

    def _loads(self) -> Iterator[Check]:
        _ = self._server  # the ops are known to be safe: it may load the candidate from now on
        yield Check(
            "loads", bool(self.model.signatures), "loaded", "a SavedModel that loads in a fresh process"
        )

    def _signatures(self) -> Iterator[Check]:
        found = sorted(self.model.signatures)
        yield Check(
            "signatures",
            set(found) >= set(self.request["signatures"]),
            ", ".join(found),
            ", ".join(self.request["signatures"]),
        )
        inputs = self.model.signatures["serving_default"].structured_input_signature[1]
        kinds = {name: spec.dtype.name for name, spec in inputs.items()}
        yield Check(
            "preprocessing inside", kinds == {self.request["input"]: "string"}, str(kinds), "raw examples"
        )

    def _finite(self) -> Iterator[Check]:
        weights = tf.train.load_checkpoint(str(self.directory / "variables" / "variables"))
        kinds = weights.get_variable_to_dtype_map()
        floating = [name for name in sorted(kinds) if kinds[name].is_floating]
        wrong = [name for name in floating if not np.isfinite(weights.get_tensor(name)).all()]
        found = ", ".join(wrong[:3]) or f"{len(floating)} arrays, all finite"
        yield Check("finite weights", not wrong, found, "no NaN, no infinity")

    def _answer(self, raws: list[bytes]) -> dict[str, np.ndarray]:
        outputs = self.model.signatures["serving_default"](**{self.request["input"]: tf.constant(raws)})
        return {name: value.numpy() for name, value in outputs.items()}

    def _parity_of_saved_model(self) -> Iterator[Check]:
        parts = [self._answer(self.raws[start : start + 32]) for start in range(0, len(self.raws), 32)]
        yield self._compare("SavedModel answers as training", stacked(parts))

    def _compare(self, name: str, answers: dict[str, np.ndarray]) -> Check:
        worst, row, output = 0.0, -1, ""
        for key, wanted in self.expected.items():
            got = answers[key]
            if wanted.dtype == object:
                texts = np.array(
                    [str(c, "utf-8") if isinstance(c, bytes) else c for c in got.ravel()], dtype=object
                )
                differing = (texts.reshape(wanted.shape) != wanted).astype(float)
            else:
                differing = np.abs(got.astype(np.float64) - wanted)
                # NaN compares as no difference at all: it must fail.
                differing = np.where(np.isfinite(differing), differing, np.inf)
            if differing.size and differing.max() > worst:
                worst, output = float(differing.max()), key
                row = (
                    int(np.argwhere(differing > self.settings["parity"])[:1].ravel()[0])
                    if worst > self.settings["parity"]
                    else -1
                )
        got_text = f"largest difference {worst:.2e} over {len(self.raws)} examples"
        if row >= 0:
            got_text += f", first in output {output} of example {row}"
        return Check(name, worst <= self.settings["parity"], got_text, f"at most {self.settings['parity']:g}")

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
        target = self._server.result().target
        with Client(target) as client:
            argument = self.request["input"]
            parts = [
                client.predict(
                    self.request["model"], {argument: np.array(self.raws[start : start + 16], dtype=object)}
                )
                for start in range(0, len(self.raws), 16)
            ]
        yield self._compare("live server answers as training", stacked([dict(part) for part in parts]))

    def serving_metric(self) -> dict[str, Any] | None:
        """Give the serving version's metric on this dataset's test split; measure it if it has to be."""
        serving = self.request["serving"]
        if serving is None or serving["value"] is not None:
            return serving
        from features import dataset as datasets
        from flows.evaluate import metric_of_saved_model

        dataset = datasets.load(Path(serving["dataset"]))
        name = self.request["metric"]["name"]
        value, note = metric_of_saved_model(Path(serving["path"]), dataset, self.request["input"], name)
        return serving | {"value": value, "note": note}
