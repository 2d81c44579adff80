"""Tests, corrections and effects against scipy and against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from models.monitoring import shifts

RANDOM = np.random.default_rng(5)
NORMAL = pd.Series(RANDOM.normal(size=2000))


def test_holm_multiplies_by_what_is_left_and_never_decreases() -> None:
    # Sorted: 0.005 * 4, 0.01 * 3, 0.03 * 2, 0.04 * 1, which is raised to the one before it.
    assert shifts.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert shifts.holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert len(shifts.holm([])) == 0


def test_holm_with_weights_divides_by_them() -> None:
    # By p / weight: 0.01 / 0.5 times 1 in all, 0.02 / 0.25 times the 0.5 left, 0.03 / 0.25 times 0.25.
    assert shifts.holm([0.02, 0.01, 0.03], [0.25, 0.5, 0.25]) == pytest.approx([0.04, 0.02, 0.04])
    assert shifts.holm([0.01, 0.04, 0.03], [7, 7, 7]) == pytest.approx(shifts.holm([0.01, 0.04, 0.03]))


def test_answers_weigh_as_much_as_all_inputs() -> None:
    columns = {f"column {number}": NORMAL for number in range(30)}
    before, now = (columns | {"answer label": pd.Series(["a"] * a + ["b"] * 50)} for a in (450, 150))
    shift = next(shift for shift in shifts.compare(before, now) if shift.measure == "answer label")
    assert shift.adjusted == pytest.approx(2 * shift.p)


def test_psi_is_the_sum_worked_out_by_hand() -> None:
    # Shares 0.5, 0.5 and 0.8, 0.2: 0.3 ln 1.6 + 0.3 ln 2.5.
    assert shifts.psi(np.array([50, 50]), np.array([8, 2])) == pytest.approx(0.3 * np.log(4))
    assert shifts.psi(np.array([3, 7]), np.array([30, 70])) == pytest.approx(0, abs=1e-12)
    # An empty bin counts as 0.0001: (1 - 0.0001) ln 10,000, twice.
    expected = 2 * 0.9999 * np.log(1e4)
    assert shifts.psi(np.array([10, 0]), np.array([0, 10])) == pytest.approx(expected)


def test_numbers_are_compared_by_scipy_and_deciles() -> None:
    live = pd.Series(RANDOM.normal(0.5, size=300))
    (shift,) = shifts.compare({"x": NORMAL}, {"x": live})
    tested = stats.ks_2samp(NORMAL, live, method="asymp")
    assert (shift.statistic, shift.p) == pytest.approx((tested.statistic, tested.pvalue))
    assert shift.adjusted == shift.p
    assert shift.drifted
    edges = np.quantile(NORMAL, np.linspace(0, 1, 11))
    counts = [np.histogram(np.clip(each, edges[0], edges[-1]), edges)[0] for each in (NORMAL, live)]
    p, q = (np.maximum(each / each.sum(), 1e-4) for each in counts)
    # Values beyond those of the reference have a bin of their own, which numpy's histogram has not.
    assert shift.psi == pytest.approx(float(np.sum((q - p) * np.log(q / p))), abs=0.05)
    # The symmetric divergence of two normal distributions, 0.5 apart, is 0.25.
    assert shift.psi == pytest.approx(0.25, abs=0.12)


def test_words_are_compared_by_chi_squared() -> None:
    before = pd.Series(["a"] * 60 + ["b"] * 20 + ["c"] * 20 + ["d"] * 20)
    now = pd.Series(["a"] * 20 + ["b"] * 20 + ["c"] * 20 + ["d"] * 20)
    (shift,) = shifts.compare({"x": before}, {"x": now})
    tested = stats.chi2_contingency([[60, 20, 20, 20], [20, 20, 20, 20]])
    assert shift.test == "chi-squared"
    # The test has a quarter of the false alarms.
    assert (shift.statistic, shift.p) == pytest.approx((tested.statistic, 4 * tested.pvalue))


def test_one_word_among_many_is_tested_alone() -> None:
    before = pd.Series(["a"] * 60 + ["b"] * 30 + ["c"] * 30)
    now = pd.Series(["a"] * 20 + ["b"] * 10 + ["c"] * 50)
    (shift,) = shifts.compare({"x": before}, {"x": now})
    exact = stats.fisher_exact([[50, 30], [30, 90]], alternative="greater")
    assert (shift.test, shift.statistic) == ("hypergeometric", 50)
    # One of three words, and three quarters of the false alarms.
    assert shift.p == pytest.approx(3 * exact.pvalue / 0.75)
    assert exact.pvalue * 3 < stats.chi2_contingency([[60, 30, 30], [20, 10, 50]]).pvalue
    assert (shift.reference, shift.live) == ("c: 25.0 %", "c: 62.5 %")
    p, q = np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.125, 0.625])
    assert shift.psi == pytest.approx(float(np.sum((q - p) * np.log(q / p))))


def test_rare_words_are_put_together() -> None:
    before = pd.Series(["a"] * 90 + ["b"] * 100 + [f"r{number}" for number in range(10)])
    now = pd.Series(["a"] * 90 + ["b"] * 90 + [f"s{number}" for number in range(20)])
    table = shifts.counted(before, now)
    assert list(table.index) == ["b", "a", shifts.OTHERS]
    assert table["reference"].tolist() == [100, 90, 10]
    assert table["live"].tolist() == [90, 90, 20]
    # Too rare even together: the least frequent word joins them.
    table = shifts.counted(pd.Series(["a"] * 90 + ["b"] * 9 + ["r"]), pd.Series(["a"] * 91 + ["b"] * 9))
    assert table.loc[shifts.OTHERS].tolist() == [10, 9]


def test_a_value_that_never_varied_and_moves_is_noticed() -> None:
    (shift,) = shifts.compare({"width": pd.Series([640.0] * 100)}, {"width": pd.Series([320.0] * 40)})
    assert shift.drifted
    assert shift.psi == pytest.approx(2 * 0.9999 * np.log(1e4))
    assert shifts.compare({"width": pd.Series([640.0] * 100)}, {"width": pd.Series([640.0] * 40)}) == []


def test_gaps_are_a_measure_of_their_own() -> None:
    gaps = pd.Series(np.where(np.arange(400) % 2, np.nan, RANDOM.normal(size=400)))
    found = {shift.measure: shift for shift in shifts.compare({"x": NORMAL}, {"x": gaps})}
    assert found["x missing"].drifted
    assert not found["x"].drifted
    # Of two tests the smaller p-value counts twice.
    assert found["x missing"].adjusted == pytest.approx(2 * found["x missing"].p)


def test_what_one_sample_lacks_is_zero_there() -> None:
    cyrillic = pd.Series([1.0] * 50)
    (shift,) = shifts.compare({"length": NORMAL}, {"script CYRILLIC": cyrillic, "length": NORMAL})[:1]
    assert (shift.measure, shift.drifted) == ("script CYRILLIC", True)
    assert shift.reference.startswith("0 ")


def test_a_small_difference_in_many_examples_is_no_drift() -> None:
    before, now = pd.Series(RANDOM.normal(size=20_000)), pd.Series(RANDOM.normal(0.1, size=20_000))
    (shift,) = shifts.compare({"x": before}, {"x": now})
    assert shift.adjusted < 1e-6
    assert not shift.drifted
    assert shifts.compare({"x": before}, {"x": now}, effect=0.001)[0].drifted


def test_the_examples_that_show_a_shift_best() -> None:
    live = pd.Series([0.5, 3.0, np.nan, 2.0, 4.0])
    assert shifts.extremes(NORMAL, live, 2) == [4, 1]
    assert shifts.extremes(NORMAL, -live, 2) == [4, 1]
    words = pd.Series(["a", "b", "b", "a", "b", "b", "b", "b", "b", "b"])
    assert shifts.extremes(pd.Series(["a"] * 20 + ["b"] * 20), words, 3) == [1, 2, 4]
