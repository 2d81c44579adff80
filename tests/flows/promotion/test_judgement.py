"""When a canary is promoted, rolled back or left alone."""

import numpy as np
import pytest
import scipy.stats

from flows.promotion import judgement
from flows.promotion.admission import evaluated
from flows.promotion.judgement import PROMOTE, ROLL_BACK, WAIT, Evaluated, Evaluations, judge
from flows.promotion.watch import _Trial, described
from flows.runs.plans.recipe import CanarySettings
from serving.repository.labels.labels import Canary
from serving.repository.repository import Repository
from serving.repository.traffic import Counter, Tally, Traffic

RULE = CanarySettings()
OLD_ENOUGH = 3600.0
GENERATOR = np.random.default_rng(3)


def tally(requests=1000, errors=0, median=0.01, scores=(5, 2), labels="abcd") -> Tally:
    """Make a tally of latencies around a median, of scores of a beta distribution, and of labels in turn."""
    counter, answered = Counter(), requests - errors
    latencies = median * GENERATOR.lognormal(0, 0.3, answered)
    for place, score in enumerate(GENERATOR.beta(*scores, answered).tolist()):
        counter.answered(float(latencies[place]), [score], [labels[place % len(labels)]])
    for _ in range(errors):
        counter.failed()
    return Tally.read(counter.content())


def verdict(
    canary: Tally,
    stable: Tally | None = None,
    age=OLD_ENOUGH,
    rule=RULE,
    trouble="",
    confidence=True,
    evaluations=None,
):
    seen = Traffic(tally() if stable is None else stable, canary, trouble, 1, confidence)
    return judge(rule, seen, seen, age, evaluations)


def test_a_canary_without_fault_is_promoted_once_it_is_old_enough_and_has_answered_enough():
    assert verdict(tally()).verdict == PROMOTE
    assert verdict(tally(150)).reason == "50 more requests are needed"
    waiting = verdict(tally(), age=30)
    assert (waiting.verdict, waiting.reason) == (WAIT, "10 more minutes are needed")
    by_hand = verdict(tally(), rule=CanarySettings(promote=False))
    assert (by_hand.verdict, "servable promote" in by_hand.reason) == (WAIT, True)


@pytest.mark.parametrize(
    ("canary", "trouble", "words"),
    [
        (tally(20, 20), "", "failed on 20 of 20 requests"),
        (tally(1000, 30), "", "failed on 30 of 1000 requests"),
        (tally(median=0.03), "", "times the stable version's, over 2"),
        (tally(scores=(1, 5)), "", "its scores are lower: their distance is"),
        (tally(labels="a"), "", "100% of its answers are 'a', which the stable version gives in 25%"),
        (tally(0), "no SavedModel", "cannot be loaded: no SavedModel"),
    ],
)
def test_a_fault_is_rolled_back_at_once(canary, trouble, words):
    found = verdict(canary, age=1, trouble=trouble)
    assert found.verdict == ROLL_BACK
    assert words in found.reason


def test_a_version_that_has_learnt_what_the_stable_one_has_not_is_promoted():
    """Most inputs have drifted: the stable version is unsure of them, and takes nearly all for one class."""
    stable, learnt = tally(scores=(3, 4), labels="aaaaaaaaab"), tally(scores=(20, 1))
    assert scipy.stats.ks_2samp(learnt.scores, stable.scores).statistic > 0.9
    assert verdict(learnt, stable).verdict == PROMOTE
    assert verdict(stable, learnt).verdict == ROLL_BACK
    # Numbers that say nothing of how sure an answer is may not differ in either direction.
    for pair in ((learnt, stable), (stable, learnt)):
        assert verdict(*pair, confidence=False).reason.startswith("the distance of its scores is")


def test_a_version_that_is_less_sure_as_expected_is_promoted():
    """The stable version is sure of what it does not know; the canary is as sure as when it was tested."""
    unnoticed, aware, poor = (30, 1), (6, 2), (2, 4)
    tested = {scores: tally(scores=scores).scores for scores in (unnoticed, aware, poor)}
    live, stable, before = tally(scores=aware), tally(scores=unnoticed), Evaluated(metric=(0.9, 0.97))

    def judged(canary: Evaluated, live=live, before=before):
        return verdict(live, stable, evaluations=Evaluations(before, canary))

    assert judged(Evaluated(tested[aware], (0.86, 0.94))).verdict == PROMOTE
    assert judged(Evaluated(tested[aware][:20], (0.86, 0.94))).verdict == PROMOTE
    for canary, stables in (
        (Evaluated(), before),
        (Evaluated(tested[aware], (0.86, 0.94)), Evaluated()),
        (Evaluated(tested[unnoticed], (0.86, 0.94)), before),  # far surer when it was tested
        (Evaluated(tested[aware], (0.3, 0.5)), before),  # tested far worse than the stable version was
    ):
        assert judged(canary, before=stables).reason.startswith("its scores are lower")
    # What has learnt from wrong labels is as unsure as it was when it was tested, and did badly there.
    assert judged(Evaluated(tested[poor], (0.31, 0.47)), tally(scores=poor)).verdict == ROLL_BACK


@pytest.mark.parametrize(
    ("manifest", "metric"),
    [
        ({"metric": "m", "metrics": {"m": 0.9, "m_low": 0.8, "m_high": 0.95}}, (0.8, 0.95)),
        ({"metric": "m", "metrics": {"m_low": 2.0, "m_high": 3.0}, "higher_is_better": False}, (-3.0, -2.0)),
        ({"metric": "m", "metrics": {"m": 0.9}}, None),
        ({}, None),
    ],
)
def test_a_release_says_how_its_version_was_tested(tmp_path, manifest, metric):
    candidate = tmp_path / "candidate"
    candidate.mkdir()
    (candidate / "saved_model.pb").write_bytes(b"graph")
    release = Repository(tmp_path / "models").publish("m", candidate, manifest | {"scores": [0.5]})
    assert evaluated(release) == Evaluated((0.5,), metric)


def test_answers_of_one_class_are_no_fault_where_the_stable_version_gives_it_as_often():
    assert verdict(tally(labels="a"), tally(labels="ab")).verdict == PROMOTE
    assert verdict(tally(labels="aaab"), tally(labels="bc")).verdict == PROMOTE
    assert verdict(tally(90, labels="a"), age=1).verdict == WAIT


def test_a_few_failures_or_scores_are_no_fault():
    assert verdict(tally(400, 2)).verdict == PROMOTE  # fewer than three
    assert verdict(tally(1000, 9)).verdict == PROMOTE
    assert verdict(tally(90, scores=(1, 5)), age=1).verdict == WAIT
    assert verdict(tally(40, median=0.1), age=1).verdict == WAIT


def test_the_bound_of_a_share_is_wilsons():
    interval = scipy.stats.binomtest(30, 1000).proportion_ci(0.98, "wilson")
    assert judgement._at_least(30, 1000) == pytest.approx(interval.low, abs=1e-4)


def test_two_versions_that_are_alike_are_never_rolled_back():
    """In 100 trials; one at the limits would be in one of them."""
    alike = [verdict(tally(200), tally(200)) for _ in range(100)]
    assert {found.verdict for found in alike} == {PROMOTE}


def test_the_figures_are_those_of_both_versions():
    found = verdict(tally(1000, 30, 0.02), tally(3000))
    figures = found.figures
    assert figures["requests"] == {"canary": 1000, "stable": 3000}
    assert figures["error_rate"] == {"canary": 0.03, "stable": 0.0}
    assert figures["median_ms"]["canary"] == pytest.approx(20, rel=0.1)
    assert figures["score_distance"] < 0.2
    assert described(found).startswith("canary to stable: requests 1000 to 3000, error rate 3.00% to 0.00%")
    nothing = judge(RULE, Traffic(), Traffic(), 0)
    assert (nothing.verdict, nothing.figures["error_rate"]["canary"]) == (WAIT, None)


def test_a_fault_long_after_the_beginning_is_seen_within_the_window():
    """The figures of an hour do not hide those of the last ten seconds."""
    trial = _Trial(Canary(2, 25, "2026-01-01T00:00:00.000+00:00"))
    healthy = Traffic(tally(30_000), tally(10_000))
    trial.recent(healthy, 10, now=100.0)
    slow = Traffic(healthy.stable + tally(900), healthy.canary + tally(50) + tally(250, median=0.05))
    assert judge(RULE, slow, trial.recent(slow, 10, now=105.0), 1).verdict == WAIT
    recent = trial.recent(slow, 10, now=111.0)
    assert (recent.canary.requests, recent.stable.requests) == (300, 900)
    assert judge(RULE, slow, recent, 1).verdict == ROLL_BACK


def test_with_few_requests_the_window_is_longer():
    trial = _Trial(Canary(2, 25, "2026-01-01T00:00:00.000+00:00"))
    first = Traffic(tally(20), tally(10))
    trial.recent(first, 10, now=0.0)
    second = Traffic(first.stable + tally(80), first.canary + tally(30))
    assert trial.recent(second, 10, now=1000.0).canary.requests == 40
    third = Traffic(second.stable + tally(80), second.canary + tally(30))
    assert trial.recent(third, 10, now=2000.0).canary.requests == 60
