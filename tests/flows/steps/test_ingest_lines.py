"""What the ingest step says of the data: whether the test split can tell anything."""

import pytest

from flows.steps.ingest import FEW_TESTS, _too_small
from models.evaluation import uncertainty


@pytest.mark.parametrize("tests", [1, 12, 20, FEW_TESTS - 1])
def test_a_small_test_split_is_warned_of_by_wilsons_interval(tests: int) -> None:
    (line,) = _too_small(tests)
    low = uncertainty.wilson("accuracy", tests, tests).low
    assert line == (
        f"only {tests} test examples: even {tests} of {tests} right would be {low:.0%} to 100% (95% interval)"
    )


@pytest.mark.parametrize("tests", [0, FEW_TESTS, 10_000])
def test_a_split_that_is_absent_or_large_is_not(tests: int) -> None:
    assert _too_small(tests) == []
