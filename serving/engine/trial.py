"""The trial of a canary in a running server: which version answers a request, and how each of them does."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from grpc import StatusCode
from tensorflow.core.framework import types_pb2

from serving.engine.manager import Manager
from serving.engine.servable import DEFAULT_SIGNATURE, Served
from serving.engine.states import State
from serving.errors import NotFound, code_of
from serving.repository import traffic
from serving.repository.labels.labels import Canary

Answer = TypeVar("Answer")

#: Tells what a client is known by; called only while a canary is under way.
Client = Callable[[], str]

#: The output that says how sure an answer is; of a model without it, the first output of floats is compared.
SCORE = "score"
#: The output that says what the answer is.
LABEL = "label"
#: Of each request so many scores and labels are kept.
_MOST_ROWS = 100

#: Calls whose latency is not compared: graphs prepare themselves once, and kernels in every thread.
WARM_CALLS = 100

#: Failures that say nothing of a model: the server is busy, or the caller has gone.
_NOT_ITS_FAULT = frozenset(
    {
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.UNAVAILABLE,
        StatusCode.CANCELLED,
        StatusCode.DEADLINE_EXCEEDED,
    }
)
_FLOATS = frozenset({types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE, types_pb2.DT_HALF, types_pb2.DT_BFLOAT16})


class Trial:
    """One canary beside the stable version of its model.

    Args:
        model: the model's name.
        stable: the stable version.
        canary: the version on trial.
    """

    def __init__(self, model: str, stable: int, canary: Canary) -> None:
        self.model, self.stable, self.canary = model, stable, canary
        self._counts = {stable: traffic.Counter(), canary.version: traffic.Counter()}
        self._calls = dict.fromkeys(self._counts, 0)
        self._scores: dict[int, str | None] = {}

    def answer(self, manager: Manager, client: Client, call: Callable[[Served], Answer]) -> Answer:
        """Answer a request that names no version.

        If the canary fails on it, the stable version answers: a trial costs no caller an answer. A request
        on which both fail is the caller's fault and counts against neither.

        Args:
            manager: holds the versions.
            client: tells what the client is known by.
            call: computes the answer.

        Raises:
            NotFound: no version is available.
        """
        if not self.canary.answers(self.model, client()):
            return self._stable(manager, call)
        try:
            use = manager.use(self.model, self.canary.version)
        except NotFound:  # not loaded yet, or not any more
            return self._stable(manager, call)
        try:
            with use as servable:
                return self._counted(servable, call)
        except Exception as error:
            answer = self._stable(manager, call, counts=False)
            if code_of(error) not in _NOT_ITS_FAULT:
                self._counts[self.canary.version].failed()
            return answer

    def _stable(self, manager: Manager, call: Callable[[Served], Answer], *, counts: bool = True) -> Answer:
        try:
            use = manager.use(self.model, self.stable)
        except NotFound:  # another one has just become stable
            use = manager.use(self.model)
        with use as servable:
            if not counts or servable.version != self.stable:
                return call(servable)
            try:
                return self._counted(servable, call)
            except Exception:
                self._counts[self.stable].failed()
                raise

    def _counted(self, servable: Served, call: Callable[[Served], Answer]) -> Answer:
        observed = _Observed(servable)
        warm = self._calls[servable.version] >= WARM_CALLS
        started = perf_counter()
        answer = call(observed)
        latency = perf_counter() - started if warm else None
        self._calls[servable.version] += 1
        if servable.version == self.canary.version and not np.isfinite(observed.scores).all():
            raise FloatingPointError("a score of the canary is not finite")
        self._scores[servable.version] = score_output(servable.signatures)
        self._counts[servable.version].answered(latency, observed.finite(), observed.labels)
        return answer

    def write(self, manager: Manager, base: Path, file: str) -> None:
        """Write down what was counted; arguments as of `traffic.write`."""
        state = manager.monitor.versions(self.model).get(self.canary.version)
        trouble = state.message if state is not None and state.state is not State.AVAILABLE else ""
        counts = (self._counts[self.stable], self._counts[self.canary.version])
        confidence = set(self._scores.values()) == {SCORE}
        traffic.write(base, file, self.canary, *counts, trouble, confidence=confidence)


class _Observed:
    """A version that keeps the scores and labels of what it answers; made for one request."""

    __slots__ = ("_inner", "labels", "name", "path", "plans", "scores", "signatures", "version")

    def __init__(self, inner: Served) -> None:
        self._inner = inner
        self.name, self.version, self.path = inner.name, inner.version, inner.path
        self.signatures, self.plans = inner.signatures, inner.plans
        self.scores = np.zeros(0)
        self.labels: list[str] = []

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
        """Run the graph and keep scores and labels, one for each row."""
        values = self._inner.run(feeds, fetches)
        fetched = dict(zip(fetches, values, strict=True))
        outputs = _outputs(self.signatures)
        alias = score_output(self.signatures)
        if alias is not None and outputs[alias].name in fetched:
            score = np.asarray(fetched[outputs[alias].name], np.float64)
            self.scores = score.reshape(len(score), -1).mean(1) if score.ndim else score.reshape(1)
        if LABEL in outputs and outputs[LABEL].name in fetched:
            self.labels = _texts(fetched[outputs[LABEL].name])
        return values

    def finite(self) -> list[float]:
        """Return the scores that are numbers, the first hundred."""
        return self.scores[np.isfinite(self.scores)][:_MOST_ROWS].tolist()

    def close(self) -> None:
        """Do nothing: the version goes on."""


def score_output(signatures: Mapping[str, Any]) -> str | None:
    """Return the name of the output whose distribution is compared, or None."""
    floats = sorted(alias for alias, info in _outputs(signatures).items() if info.dtype in _FLOATS)
    return SCORE if SCORE in floats else next(iter(floats), None)


def _outputs(signatures: Mapping[str, Any]) -> Mapping[str, Any]:
    return signatures[DEFAULT_SIGNATURE].outputs if DEFAULT_SIGNATURE in signatures else {}


def _texts(labels: np.ndarray) -> list[str]:
    """Return the labels of the first hundred rows; numbers as texts."""
    rows = np.ravel(labels)[:_MOST_ROWS].tolist()
    return [row.decode("utf-8", "replace") if isinstance(row, bytes) else str(row) for row in rows]
