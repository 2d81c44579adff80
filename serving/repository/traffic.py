"""What running servers tell of a canary and the stable version beside it: counts, latencies and answers.

Each server writes one file, ``<model>/.servable/traffic/<server>.json``, again and again while the trial
lasts. Any number of servers on one repository are added up, whatever ports and keys they have.
"""

import collections
import contextlib
import itertools
import json
import math
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from serving.repository.claims import PRIVATE
from serving.repository.labels.labels import Canary

FOLDER = "traffic"

#: Scores and labels kept of each version, the latest ones.
MOST_SCORES = 200
#: Letters kept of a label.
_MOST_LETTERS = 100

#: Buckets of latency in each doubling.
_STEPS = 4


@dataclass(frozen=True)
class Tally:
    """What a version answered since the trial began.

    Attributes:
        requests: answered or failed.
        errors: of these, failed where the other version had an answer, or the stable one had none.
        latencies: counts by bucket; see `bucket` and `quantile`.
        scores: the latest scores.
        labels: the latest labels.
    """

    requests: int = 0
    errors: int = 0
    latencies: Mapping[int, int] = field(default_factory=dict)
    scores: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()

    def __add__(self, other: "Tally") -> "Tally":
        """Return the sum of two servers' tallies."""
        latencies = collections.Counter(self.latencies)
        latencies.update(other.latencies)
        return Tally(
            self.requests + other.requests,
            self.errors + other.errors,
            latencies,
            self.scores + other.scores,
            self.labels + other.labels,
        )

    def since(self, before: "Tally") -> "Tally":
        """Return what came after an earlier tally; scores and labels are the latest in any case."""
        # A server that has gone meanwhile took its counts along.
        latencies = {
            bucket: max(0, count - before.latencies.get(bucket, 0))
            for bucket, count in self.latencies.items()
        }
        return Tally(
            max(0, self.requests - before.requests),
            max(0, self.errors - before.errors),
            latencies,
            self.scores,
            self.labels,
        )

    def quantile(self, share: float) -> float:
        """Return a quantile of the latency in seconds; NaN without any."""
        counts = sorted((bucket, count) for bucket, count in self.latencies.items() if count > 0)
        rank = share * sum(count for _, count in counts)
        for (bucket, count), total in zip(
            counts, itertools.accumulate(count for _, count in counts), strict=True
        ):
            if total >= rank:
                return seconds(bucket + 1 - (total - rank) / count)
        return math.nan

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """Read what `Counter.content` wrote."""
        latencies = {int(bucket): count for bucket, count in content["latencies"].items()}
        return cls(
            content["requests"],
            content["errors"],
            latencies,
            tuple(content["scores"]),
            tuple(content.get("labels", ())),
        )


class Counter:
    """Counts the answers of one version; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = self._errors = 0
        self._latencies: collections.Counter[int] = collections.Counter()
        self._scores: collections.deque[float] = collections.deque(maxlen=MOST_SCORES)
        self._labels: collections.deque[str] = collections.deque(maxlen=MOST_SCORES)

    def answered(
        self, latency: float | None, scores: Sequence[float] = (), labels: Sequence[str] = ()
    ) -> None:
        """Count an answer, which took so many seconds; None if they are not to be compared."""
        with self._lock:
            self._requests += 1
            if latency is not None:
                self._latencies[bucket(latency)] += 1
            self._scores.extend(scores)
            self._labels.extend(label[:_MOST_LETTERS] for label in labels)

    def failed(self) -> None:
        """Count a failure."""
        with self._lock:
            self._requests += 1
            self._errors += 1

    def content(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        with self._lock:
            return {
                "requests": self._requests,
                "errors": self._errors,
                "latencies": dict(self._latencies),
                "scores": [round(score, 6) for score in self._scores],
                "labels": list(self._labels),
            }


@dataclass(frozen=True)
class Traffic:
    """What all servers tell of one trial.

    Attributes:
        stable: the tally of the stable version.
        canary: the tally of the canary.
        trouble: why a server cannot load the canary; empty if none says so.
        servers: how many servers tell.
        confidence: whether a higher score is a surer answer.
    """

    stable: Tally = field(default_factory=Tally)
    canary: Tally = field(default_factory=Tally)
    trouble: str = ""
    servers: int = 0
    confidence: bool = False


def bucket(latency: float) -> int:
    """Return the bucket of a latency in seconds: four in each doubling of microseconds."""
    return math.floor(math.log2(max(latency * 1e6, 1.0)) * _STEPS)


def seconds(edge: float) -> float:
    """Return the latency at the lower edge of a bucket."""
    return 2 ** (edge / _STEPS) / 1e6


def name() -> str:
    """Return a name for the file of a server."""
    return f"{os.getpid()}.{os.urandom(4).hex()}.json"


def write(
    base: Path,
    file: str,
    trial: Canary,
    stable: Counter,
    canary: Counter,
    trouble: str,
    *,
    confidence: bool = False,
) -> None:
    """Write a server's file; does nothing where the repository cannot be written to.

    Args:
        base: folder of the model.
        file: the server's `name`.
        trial: the canary under way.
        stable: the counts of the stable version.
        canary: the counts of the canary.
        trouble: why the canary cannot be loaded; empty if it is not so.
        confidence: whether a higher score is a surer answer.
    """
    folder = base / PRIVATE / FOLDER
    content = {
        "version": trial.version,
        "since": trial.since,
        "stable": stable.content(),
        "canary": canary.content(),
        "trouble": trouble,
        "confidence": confidence,
    }
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
        aside = folder / f".{file}"
        aside.write_text(json.dumps(content))
        aside.replace(folder / file)


def clear(base: Path, trial: Canary | None = None) -> None:
    """Remove the files of other trials, such as those of servers that were killed."""
    with contextlib.suppress(OSError):
        for path in (base / PRIVATE / FOLDER).iterdir():
            if trial is None or not _is_of(_content(path), trial):
                path.unlink(missing_ok=True)


def read(base: Path, trial: Canary) -> Traffic:
    """Add up what the servers tell of a trial."""
    folder = base / PRIVATE / FOLDER
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    total = Traffic()
    for content in filter(lambda content: _is_of(content, trial), map(_content, files)):
        total = Traffic(
            total.stable + Tally.read(content["stable"]),
            total.canary + Tally.read(content["canary"]),
            total.trouble or content["trouble"],
            total.servers + 1,
            total.confidence or content.get("confidence", False),
        )
    return total


def _content(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _is_of(content: Mapping[str, Any], trial: Canary) -> bool:
    return content.get("version") == trial.version and content.get("since") == trial.since
