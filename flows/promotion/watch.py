"""Keep what serves in order: follow aliases moved in MLflow, and judge canaries."""

import collections
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from features.errors import NoInputError, ServableError, TemporaryError, UnavailableError
from flows.promotion import admission, agreement, moves
from flows.promotion.judgement import (
    FEWEST_LATENCIES,
    PROMOTE,
    ROLL_BACK,
    Evaluated,
    Evaluations,
    Judgement,
    judge,
)
from flows.runs.plans.recipe import CanarySettings
from flows.tracking.registry import Registry
from flows.workspace import Workspace
from serving.repository import traffic
from serving.repository.labels.labels import Canary
from serving.repository.repository import Repository
from serving.repository.traffic import Traffic

#: Seconds between two looks at the canaries and at MLflow; after a failure it is asked less often.
LOOK_SECONDS, MLFLOW_SECONDS, LONGEST_SECONDS = 1.0, 2.0, 30.0

#: Who moved what a watch has moved.
BY = "servable watch"


@dataclass
class _Trial:
    """What was seen of one canary."""

    canary: Canary
    before: Traffic = field(default_factory=Traffic)
    later: collections.deque[tuple[float, Traffic]] = field(default_factory=collections.deque)

    def recent(self, total: Traffic, window: float, now: float) -> Traffic:
        """Return what came within the window, or before it where that is too little to compare.

        Args:
            total: since the trial began; remembered.
            window: seconds.
            now: the present time in seconds, on any clock.
        """
        while self.later and self.later[0][0] <= now - window and _is_enough(total, self.later[0][1]):
            self.before = self.later.popleft()[1]
        if not self.later or total.canary.requests != self.later[-1][1].canary.requests:
            self.later.append((now, total))
        return Traffic(total.stable.since(self.before.stable), total.canary.since(self.before.canary))


class Watch:
    """Look at the models of a workspace again and again.

    Args:
        workspace: where they are published.
        models: their names; None for all.
        notify: told in a line what was done.
    """

    def __init__(self, workspace: Workspace, models: list[str] | None, notify: Callable[[str], None]) -> None:
        self._models, self._notify = models, notify
        self._repository = Repository(workspace.repository)
        self._registry = Registry(workspace)
        self._trials: dict[str, _Trial] = {}
        self._delay = MLFLOW_SECONDS
        self._settled: object = None

    def run(self, report: Callable[[str, Judgement], None] = lambda model, judgement: None) -> None:
        """Look until the process ends.

        Args:
            report: told of every canary at every look.
        """
        # MLflow may take long to answer: no canary waits for that.
        threading.Thread(target=self._follow_on, name="follow", daemon=True).start()
        while True:
            for model, judgement in self.judge().items():
                report(model, judgement)
            time.sleep(LOOK_SECONDS)

    def judge(self) -> dict[str, Judgement]:
        """Judge each canary under way, and act on it; return what was found."""
        judgements = {}
        try:
            if self._repository.root.is_dir():
                self._repository.write_config()
            for model in self._names():
                if (trial := self._repository.canary(model)) is not None:
                    judgements[model] = self._judge(model, trial)
        except (ServableError, OSError) as error:  # the disk may be full, or a version deleted just now
            self._notify(str(error))
        return judgements

    def _names(self) -> list[str]:
        return self._repository.models() if self._models is None else self._models

    def _follow_on(self) -> None:
        while True:
            time.sleep(self.follow())

    def _judge(self, model: str, canary: Canary) -> Judgement:
        trial = self._trials.get(model)
        if trial is None or trial.canary != canary:
            trial = self._trials[model] = _Trial(canary)
        rule = self._rule(model, canary)
        total = traffic.read(self._repository.root / model, canary)
        recent = trial.recent(total, rule.window, time.monotonic())
        age = (datetime.now(UTC) - datetime.fromisoformat(canary.since)).total_seconds()
        evaluations = Evaluations(
            stable=self._evaluated(model, self._repository.stable(model)),
            canary=self._evaluated(model, canary.version),
        )
        judgement = judge(rule, total, recent, age, evaluations)
        with contextlib.suppress(TemporaryError):  # somebody else was quicker
            self._act(model, canary, judgement)
        return judgement

    def _rule(self, model: str, canary: Canary) -> CanarySettings:
        try:
            return admission.rule(self._repository.release(model, canary.version))
        except (NoInputError, ValueError):
            return CanarySettings()

    def _evaluated(self, model: str, version: int | None) -> Evaluated:
        try:
            return (
                Evaluated()
                if version is None
                else admission.evaluated(self._repository.release(model, version))
            )
        except (NoInputError, ValueError):
            return Evaluated()

    def _act(self, model: str, canary: Canary, judgement: Judgement) -> None:
        if judgement.verdict == ROLL_BACK:
            stable = self._repository.rollback(
                model, judgement.reason, during=canary, by=BY, figures=judgement.figures
            )
            self._notify(
                f"{model}: canary {canary.version} is rolled back to version {stable}: {judgement.reason}"
            )
        elif judgement.verdict == PROMOTE:
            admission.admit(self._repository.release(model, canary.version))
            self._repository.promote(
                model, canary.version, judgement.reason, during=canary, by=BY, figures=judgement.figures
            )
            self._notify(f"{model}: canary {canary.version} is stable: {judgement.reason}")

    def follow(self) -> float:
        """Follow MLflow, unless neither side has changed since they agreed; return when to look again.

        Returns:
            Seconds; more after each look at which MLflow did not answer.
        """
        models = self._names()
        try:
            state = (self._registry.stamp(), [moves.labels(self._repository, model) for model in models])
            if state != self._settled:
                agreement.settle(self._repository, self._registry, models, self._notify)
        except UnavailableError as error:
            if self._delay == MLFLOW_SECONDS:
                self._notify(f"{error}; trying again")
            self._delay = min(2 * self._delay, LONGEST_SECONDS)
        except (ServableError, OSError) as error:
            self._notify(str(error))
        else:
            self._delay, self._settled = MLFLOW_SECONDS, state
        return self._delay


def _is_enough(total: Traffic, before: Traffic) -> bool:
    """Return whether each version answered enough requests since then to compare their latencies."""
    pairs = ((total.canary, before.canary), (total.stable, before.stable))
    return min(late.requests - early.requests for late, early in pairs) >= FEWEST_LATENCIES


def described(found: Judgement) -> str:
    """Describe a judgement in a line: both versions side by side."""
    figures = found.figures
    parts = [
        f"requests {figures['requests']['canary']} to {figures['requests']['stable']}",
        f"error rate {_shown(figures['error_rate'], '.2%')}",
        f"median ms {_shown(figures['median_ms'], '.1f')}",
    ]
    if figures["score_distance"] is not None:
        parts.append(f"score distance {figures['score_distance']:.2f}")
    if figures["label_share"]["canary"] is not None:
        parts.append(f"most frequent label {_shown(figures['label_share'], '.0%')}")
    return f"canary to stable: {', '.join(parts)}; {found.verdict}: {found.reason}"


def _shown(pair: dict[str, float | None], form: str) -> str:
    return " to ".join("-" if value is None else format(value, form) for value in pair.values())
