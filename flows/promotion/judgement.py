"""Judge a canary by what the servers tell of it and of the stable version beside it."""

import math
from dataclasses import dataclass
from typing import Any

from flows.runs.plans.recipe import CanarySettings
from serving.repository.traffic import Tally, Traffic

WAIT, PROMOTE, ROLL_BACK = "wait", "promote", "roll back"

#: Fewer failures are no rule.
FEWEST_ERRORS = 3
#: Answers of each version that a comparison needs: of latencies, and of scores.
FEWEST_LATENCIES, FEWEST_SCORES = 50, 100
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


def judge(rule: CanarySettings, total: Traffic, recent: Traffic, age: float) -> Judgement:
    """Judge a canary.

    Args:
        rule: of the recipe.
        total: since the trial began.
        recent: within the window of the rule.
        age: seconds since the trial began.
    """
    figures = compare(total, recent)
    fault = _fault(rule, total, recent, figures)
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
    return {
        "requests": {"canary": total.canary.requests, "stable": total.stable.requests},
        "error_rate": {"canary": _rate(recent.canary), "stable": _rate(recent.stable)},
        "median_ms": {"canary": _median(recent.canary), "stable": _median(recent.stable)},
        "score_distance": _distance(total)[0],
    }


def _fault(rule: CanarySettings, total: Traffic, recent: Traffic, figures: dict[str, Any]) -> str:
    """Return what speaks against a canary, or nothing."""
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
    distance, chance = _distance(total)
    if distance is not None and distance > rule.max_score_distance and chance < _CHANCE:
        return f"the distance of its scores is {distance:.2f}, over {rule.max_score_distance:g}"
    return ""


def _latency_ratio(recent: Traffic) -> float:
    canary, stable = recent.canary, recent.stable
    if min(sum(canary.latencies.values()), sum(stable.latencies.values())) < FEWEST_LATENCIES:
        return math.nan
    return canary.quantile(0.5) / stable.quantile(0.5)


def _distance(total: Traffic) -> tuple[float | None, float]:
    """Return the Kolmogorov-Smirnov distance of the scores and its chance; None with too few scores."""
    from scipy import stats

    scores = total.canary.scores, total.stable.scores
    if min(map(len, scores)) < FEWEST_SCORES:
        return None, 1.0
    found = stats.ks_2samp(*scores)
    return float(found.statistic), float(found.pvalue)


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
