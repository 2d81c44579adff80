"""Judge a canary by what the servers tell of it and of the stable version beside it."""

import collections
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flows.runs.plans.recipe import CanarySettings
from serving.repository.traffic import Tally, Traffic

WAIT, PROMOTE, ROLL_BACK = "wait", "promote", "roll back"

#: Fewer failures are no rule.
FEWEST_ERRORS = 3
#: Answers of each version that a comparison needs: of latencies, and of scores or labels.
FEWEST_LATENCIES, FEWEST_SCORES = 50, 100
#: Test examples without which nothing is known of how sure a version should be.
FEWEST_TESTED = 10
#: One-sided: a version at its limit is rolled back by chance once in a hundred looks.
_Z = 2.33
#: Chance at which scores of one distribution differ as much.
_CHANCE = 1e-3


@dataclass(frozen=True)
class Judgement:
    """What is to be done with a canary, why, and the figures that it follows from."""

    verdict: str
    reason: str
    figures: dict[str, Any]


@dataclass(frozen=True)
class Evaluated:
    """How a version did on its own test examples.

    Attributes:
        scores: how sure it was of its answers; none if that is not known.
        metric: the ends of the interval of its main metric, negative where lower is better; None likewise.
    """

    scores: Sequence[float] = ()
    metric: tuple[float, float] | None = None


@dataclass(frozen=True)
class Evaluations:
    """How both versions did, each on its own test examples."""

    stable: Evaluated = Evaluated()
    canary: Evaluated = Evaluated()


def judge(
    rule: CanarySettings, total: Traffic, recent: Traffic, age: float, evaluations: Evaluations | None = None
) -> Judgement:
    """Judge a canary.

    Args:
        rule: of the recipe.
        total: since the trial began.
        recent: within the window of the rule.
        age: seconds since the trial began.
        evaluations: what is known of both versions from before they served.
    """
    figures = compare(total, recent)
    fault = _fault(rule, total, recent) or _change(rule, total, evaluations or Evaluations())
    if fault:
        return Judgement(ROLL_BACK, fault, figures)
    missing = max(0, rule.min_requests - total.canary.requests)
    left = rule.min_minutes * 60 - age
    if missing:
        return Judgement(WAIT, f"{missing} more requests are needed", figures)
    if left > 0:
        return Judgement(WAIT, f"{math.ceil(left / 60)} more minutes are needed", figures)
    if not rule.promote:
        return Judgement(WAIT, "no fault found: promote it with servable promote", figures)
    return Judgement(PROMOTE, f"no fault in {total.canary.requests} requests", figures)


def compare(total: Traffic, recent: Traffic) -> dict[str, Any]:
    """Return the figures of both versions: rates and latencies within the window, the latest scores."""
    distance = _distance(total)
    return {
        "requests": {"canary": total.canary.requests, "stable": total.stable.requests},
        "error_rate": {"canary": _rate(recent.canary), "stable": _rate(recent.stable)},
        "median_ms": {"canary": _median(recent.canary), "stable": _median(recent.stable)},
        "score_distance": None if distance is None else float(distance.statistic),
        "label_share": dict(zip(("canary", "stable"), _label_shares(total)[1:], strict=True)),
    }


def _fault(rule: CanarySettings, total: Traffic, recent: Traffic) -> str:
    """Return what failed or was slow, or nothing."""
    if total.trouble:
        return f"it cannot be loaded: {total.trouble}"
    tally = recent.canary
    if tally.errors >= FEWEST_ERRORS and _at_least(tally.errors, tally.requests) > rule.max_error_rate:
        return (
            f"it failed on {tally.errors} of {tally.requests} requests that the stable version answers, "
            f"more than {rule.max_error_rate:.1%}"
        )
    ratio = _latency_ratio(recent)
    if ratio > rule.max_latency_ratio:
        return (
            f"its median latency is {ratio:.1f} times the stable version's, over {rule.max_latency_ratio:g}"
        )
    return ""


def _latency_ratio(recent: Traffic) -> float:
    canary, stable = recent.canary, recent.stable
    if min(sum(canary.latencies.values()), sum(stable.latencies.values())) < FEWEST_LATENCIES:
        return math.nan
    return canary.quantile(0.5) / stable.quantile(0.5)


def _change(rule: CanarySettings, total: Traffic, evaluations: Evaluations) -> str:
    """Return how the answers changed for the worse, or nothing.

    A version that has learnt what the stable one has not may be surer than that one: only lower scores count.
    It may also be less sure than one that does not notice what it does not know. Then it is as sure as of its
    own test examples, and did about as well there as the stable version on its own.
    """
    distance = _distance(total)
    if _exceeds(distance, rule) and not (total.confidence and _is_expected(rule, total, evaluations)):
        kind = "its scores are lower: their distance" if total.confidence else "the distance of its scores"
        return f"{kind} is {distance.statistic:.2f}, over {rule.max_score_distance:g}"
    label, share, other = _label_shares(total)
    if share is not None and other is not None and share > rule.max_label_share and other < share / 2:
        return f"{share:.0%} of its answers are {label!r}, which the stable version gives in {other:.0%}"
    return ""


def _is_expected(rule: CanarySettings, total: Traffic, evaluations: Evaluations) -> bool:
    """Return whether the canary is as sure as of its test examples, and did no worse there than the other."""
    stable, canary = evaluations.stable, evaluations.canary
    distance = _lower(total.canary.scores, canary.scores, FEWEST_TESTED)
    if distance is None or _exceeds(distance, rule) or canary.metric is None or stable.metric is None:
        return False
    return canary.metric[1] >= stable.metric[0]


def _distance(total: Traffic) -> Any:
    """Return the Kolmogorov-Smirnov distance of the scores of both versions, as of `_apart`."""
    pair = total.canary.scores, total.stable.scores
    return _lower(*pair) if total.confidence else _apart(*pair)


def _lower(scores: Sequence[float], others: Sequence[float], fewest: int = FEWEST_SCORES) -> Any:
    # Of the distribution functions, that of the lower scores is the greater one.
    return _apart(scores, others, fewest, "greater")


def _apart(
    scores: Sequence[float],
    others: Sequence[float],
    fewest: int = FEWEST_SCORES,
    alternative: str = "two-sided",
) -> Any:
    """Return the distance as ``statistic`` and its chance as ``pvalue``; None with too few scores."""
    from scipy import stats

    if min(len(scores), len(others)) < fewest:
        return None
    return stats.ks_2samp(scores, others, alternative=alternative)


def _exceeds(distance: Any, rule: CanarySettings) -> bool:
    return distance is not None and distance.statistic > rule.max_score_distance and distance.pvalue < _CHANCE


def _label_shares(total: Traffic) -> tuple[str, float | None, float | None]:
    """Return the canary's most frequent label and its share of each version; None with too few labels."""
    labels, others = total.canary.labels, total.stable.labels
    if min(len(labels), len(others)) < FEWEST_SCORES:
        return "", None, None
    ((label, count),) = collections.Counter(labels).most_common(1)
    return label, count / len(labels), others.count(label) / len(others)


def _at_least(errors: int, requests: int) -> float:
    """Return the lower bound of a share, by Wilson's interval."""
    share, z2 = errors / requests, _Z**2
    middle = share + z2 / (2 * requests)
    reach = _Z * math.sqrt(share * (1 - share) / requests + z2 / (4 * requests**2))
    return (middle - reach) / (1 + z2 / requests)


def _rate(tally: Tally) -> float | None:
    return round(tally.errors / tally.requests, 4) if tally.requests else None


def _median(tally: Tally) -> float | None:
    median = tally.quantile(0.5)
    return None if math.isnan(median) else round(median * 1000, 2)
