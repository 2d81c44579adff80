"""Whether a live sample comes from the distribution of a reference: two-sample tests with an effect size.

Numbers are compared by the Kolmogorov-Smirnov test, words by the chi-squared test of homogeneity and an exact
test of the category that grew most; Holm's procedure (1979) corrects for the number of measures. Those of
inputs and those of answers weigh half each, so that a change of the answers is noticed as soon, however many
columns a row has. With many examples any difference is significant, however small, so that drift also takes
an effect: a population stability index (PSI) of at least a stated size.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from models.monitoring.answers import ANSWER

#: Probability of any false alarm in one comparison, at most.
ALPHA = 0.04
#: PSI from which a difference counts. Customary names: below 0.1 small, below 0.25 moderate, else large.
EFFECT = 0.05
#: Examples without which nothing can be said.
FEWEST = 20

#: Share that stands for an empty bin, whose logarithm would be infinite.
_EMPTY = 1e-4
#: Bins of equal share that numbers of the reference are put into.
_BINS = 10
#: Expected count below which categories are put together, as the chi-squared test asks for.
_EXPECTED = 5.0
#: Share of a false alarm's probability that the chi-squared test of a measure of words has; the exact test
#: of the category that grew most, which notices a single class sooner, has the rest.
_CHI_SQUARED = 0.25
#: Share of examples with one value from which a measure does not vary.
_CONSTANT = 0.99
OTHERS = "(others)"


@dataclass(frozen=True)
class Shift:
    """How one measure differs between the reference and the live sample.

    Attributes:
        measure: its name.
        test: ``Kolmogorov-Smirnov``, ``chi-squared`` or ``hypergeometric``.
        statistic: of the test; of the hypergeometric one, the live examples of the category.
        p: its p-value.
        adjusted: the same, corrected for the number of measures.
        psi: the effect.
        reference: the sample in words: the median with the 10th and 90th percentile, or the share of the
            category that changed most.
        live: likewise.
        drifted: whether it is both significant and large enough.
    """

    measure: str
    test: str
    statistic: float
    p: float
    adjusted: float
    psi: float
    reference: str
    live: str
    drifted: bool


@dataclass(frozen=True)
class _Difference:
    """A Shift before the correction."""

    measure: str
    test: str
    statistic: float
    p: float
    psi: float
    reference: str
    live: str


#: Samples of each measure by its name: numbers with NaN where there is none, or words.
Samples = Mapping[str, pd.Series]


def compare(
    reference: Samples, live: Samples, *, alpha: float = ALPHA, effect: float = EFFECT
) -> list[Shift]:
    """Compare each measure of two samples.

    Measures that one sample lacks count as 0 there, as the share of a script does. Those that do not vary are
    left out. Of numbers with gaps, the share of gaps is a measure of its own.

    Args:
        reference: what the model was trained on.
        live: what it is asked now.
        alpha: probability of any false alarm, at most.
        effect: smallest PSI that counts.

    Returns:
        The drifted measures first, then by effect.
    """
    found: list[_Difference] = []
    for measure in dict.fromkeys((*reference, *live)):
        pair = [_sample(samples, measure) for samples in (reference, live)]
        found += _differences(measure, *pair)
    adjusted = holm([each.p for each in found], _weights([each.measure for each in found]))
    shifts = [
        Shift(
            each.measure,
            each.test,
            each.statistic,
            each.p,
            float(corrected),
            each.psi,
            each.reference,
            each.live,
            bool(corrected <= alpha and each.psi >= effect),
        )
        for each, corrected in zip(found, adjusted, strict=True)
    ]
    return sorted(shifts, key=lambda shift: (not shift.drifted, -shift.psi))


def _weights(measures: Sequence[str]) -> list[float]:
    """Let all measures of answers together weigh as much as all those of inputs."""
    answers = [measure.startswith(ANSWER) for measure in measures]
    return [1 / answers.count(each) for each in answers]


def _sample(samples: Samples, measure: str) -> pd.Series:
    if measure in samples:
        return samples[measure]
    return pd.Series(0.0, index=range(max(map(len, samples.values()), default=0)))


def _differences(measure: str, reference: pd.Series, live: pd.Series) -> Iterator[_Difference]:
    pair = (reference, live)
    if not all(map(is_number, pair)):
        if _varies(*pair):
            yield _words(measure, *pair)
        return
    if any(sample.hasnans for sample in pair):
        gaps = [sample.isna().map({True: "missing", False: "present"}) for sample in pair]
        if _varies(*gaps):
            yield _words(f"{measure} missing", *gaps)
    numbers = [sample.dropna() for sample in pair]
    if _varies(*numbers):
        yield _numbers(measure, *numbers)


def _varies(reference: pd.Series, live: pd.Series) -> bool:
    if not (len(reference) and len(live)):
        return False
    both = pd.concat([reference, live])
    # A number that nearly all have is the median as well, which is found faster.
    common = both.median() if is_number(both) else both.mode().iloc[0]
    return any((sample == common).mean() < _CONSTANT for sample in (reference, live))


def is_number(sample: pd.Series) -> bool:
    """Return whether a sample holds numbers, and not words."""
    return bool(pd.api.types.is_numeric_dtype(sample))


def _numbers(measure: str, reference: pd.Series, live: pd.Series) -> _Difference:
    first, second = (sample.to_numpy(float) for sample in (reference, live))
    tested = stats.ks_2samp(first, second, method="asymp")
    edges = bins(first)
    counts = [np.bincount(np.searchsorted(edges, each), minlength=len(edges) + 1) for each in (first, second)]
    texts = (_spread(first), _spread(second))
    return _Difference(
        measure, "Kolmogorov-Smirnov", float(tested.statistic), float(tested.pvalue), psi(*counts), *texts
    )


def _spread(values: np.ndarray) -> str:
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
    return f"{middle:.4g} ({low:.4g} to {high:.4g})"


def _words(measure: str, reference: pd.Series, live: pd.Series) -> _Difference:
    table = counted(reference, live)
    shares = table / table.sum()
    most = (shares["live"] - shares["reference"]).abs().idxmax()
    texts = (f"{most}: {100 * shares.loc[most, side]:.1f} %" for side in ("reference", "live"))
    return _Difference(
        measure,
        *homogeneity(table["reference"].to_numpy(int), table["live"].to_numpy(int)),
        psi(table["reference"].to_numpy(), table["live"].to_numpy()),
        *texts,
    )


def homogeneity(reference: np.ndarray, live: np.ndarray) -> tuple[str, float, float]:
    """Test whether two samples of categories come from one distribution.

    The chi-squared test adds up the differences of all categories, and among many overlooks that of one; so
    the category that grew most is tested alone as well: the chance, by the hypergeometric distribution, that
    a sample drawn from both has as many of it, times the number of categories. Of the probability of a false
    alarm the chi-squared test has a quarter and the other one the rest.

    Args:
        reference: counts of the categories.
        live: likewise.

    Returns:
        Name, statistic and p-value of the test with the smaller one, each divided by its share.
    """
    if len(live) < 2:
        return "chi-squared", 0.0, 1.0
    both, size = reference + live, int(live.sum())
    statistic, p, *_ = stats.chi2_contingency([reference, live])
    growth = len(live) * stats.hypergeom.sf(live - 1, both.sum(), both, size)
    most = int(growth.argmin())
    tests = (
        ("chi-squared", float(statistic), min(1.0, float(p) / _CHI_SQUARED)),
        ("hypergeometric", float(live[most]), min(1.0, float(growth[most]) / (1 - _CHI_SQUARED))),
    )
    return min(tests, key=lambda test: test[2])


def counted(reference: pd.Series, live: pd.Series) -> pd.DataFrame:
    """Count the categories of two samples: columns ``reference`` and ``live``, the most frequent first.

    Those too rare for the chi-squared test (fewer than 5 expected in the smaller sample) are put together;
    the most frequent one always stands alone.
    """
    counts = {"reference": reference.value_counts(), "live": live.value_counts()}
    table = pd.DataFrame(counts).fillna(0)
    table = table.loc[table.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    expected = table.sum(axis=1) * min(len(reference), len(live)) / (len(reference) + len(live))
    kept = int((expected >= _EXPECTED).sum())
    if 0 < expected.iloc[kept:].sum() < _EXPECTED:
        kept -= 1
    kept = max(kept, 1)
    if kept >= len(table) - 1:
        return table
    others = table.iloc[kept:].sum().to_frame(OTHERS).T
    return pd.concat([table.iloc[:kept], others])


def bins(reference: np.ndarray) -> np.ndarray:
    """Return the edges of bins that each hold a tenth of the reference, as far as equal values allow.

    A value is in the bin whose upper edge is the first not below it. Beyond the smallest and the largest
    value of the reference there is one bin more.
    """
    ordered = np.quantile(reference, np.linspace(0, 1, _BINS + 1))
    return np.unique([np.nextafter(ordered[0], -np.inf), *ordered[1:]])


def psi(reference: np.ndarray, live: np.ndarray) -> float:
    """Return the population stability index of two samples' counts in the same bins.

    That is the sum over bins of (q - p) ln(q / p), with the shares p and q of reference and live, of which
    none counts as less than 0.0001; the symmetric Kullback-Leibler divergence.
    """
    p, q = (np.maximum(counts / counts.sum(), _EMPTY) for counts in (reference, live))
    return float(np.sum((q - p) * np.log(q / p)))


def holm(p_values: Sequence[float], weights: Sequence[float] | None = None) -> np.ndarray:
    """Adjust p-values for their number, by Holm's step-down procedure, in their order.

    Args:
        p_values: one for each test.
        weights: above 0, likewise: a test with twice the weight may have twice the p-value, as in section 4
            of Holm (1979); None for equal ones.
    """
    values = np.asarray(p_values, float)
    shares = np.ones_like(values) if weights is None else np.asarray(weights, float)
    order = np.argsort(values / shares)
    left = np.cumsum(shares[order][::-1])[::-1]
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] / shares[order] * left))
    return adjusted


def extremes(reference: pd.Series, live: pd.Series, most: int) -> list[int]:
    """Return the places of the live examples that show a shift best, the clearest first.

    Of numbers, those furthest in the direction in which the sample moved; of words, those of the category
    whose share grew most.
    """
    if not (is_number(reference) and is_number(live)):
        shares = counted(reference, live)
        shares /= shares.sum()
        grown = (shares["live"] - shares["reference"]).idxmax()
        chosen = ~live.isin(shares.index) if grown == OTHERS else live == grown
        return [int(place) for place in np.flatnonzero(chosen.to_numpy())[:most]]
    present = np.flatnonzero(live.notna().to_numpy())
    values = live.to_numpy(float)[present]
    before = np.sort(reference.dropna().to_numpy(float))
    # The mean rank of the live values among those of the reference: one half where nothing moved.
    rank = np.mean(np.searchsorted(before, values, "left") + np.searchsorted(before, values, "right"))
    direction = 1 if rank >= len(before) else -1
    return [int(place) for place in present[np.argsort(-direction * values, kind="stable")[:most]]]
