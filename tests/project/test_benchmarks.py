"""The page of benchmarks and the night in which it is measured."""

import json
import sys
from pathlib import Path

import pytest

from tests.benchmarks import figures, night, page
from tests.benchmarks.table import PAGE, Table
from tests.benchmarks.trainings import cell, joined

REVIEWS = Table(
    "reviews",
    "Film sentences",
    "Through `servable train`.",
    ("training", "accuracy", "spread or 95 % interval", "macro F1", "linear baseline"),
    [("10 folds", "0.7770", "deviation 0.011", "0.777", "0.7601")],
)
#: A page as it was before kinds, with a section of nobody's kind.
OLD = """# Benchmarks

<!-- loop -->
## The loop

| work | seconds |
| --- | --- |
| a | 1 |

### Again

| work | seconds |
| --- | --- |
| b | 2 |
<!-- end of loop -->

<!-- novelty -->
## A novelty

Prose alone.
<!-- end of novelty -->
"""


def test_a_section_takes_its_place_among_its_kind_with_a_row_in_the_table() -> None:
    written = page.with_section(OLD, REVIEWS.name, f"{REVIEWS.markdown()}\n")
    headings = [line for line in written.splitlines() if line.startswith("#")]
    assert headings == [
        "# Benchmarks",
        *("## Texts", "### Film sentences"),
        *("## Speed", "### The loop", "#### Again"),
        *("## Other measurements", "### A novelty"),
    ]
    (row,) = page.rows(written)
    assert row == {
        "data": "MR",
        "recipe": "cnn",
        "measure": "accuracy",
        "figure": "0.7770",
        "interval or deviation": "deviation 0.011",
        "baseline": "0.7601 (linear)",
        "published": "0.761 (equal information); 0.794 (equal information)",
        "source": "Kim 2014, CNN-rand; Wang and Manning 2012, NBSVM-bi",
    }


def test_a_section_is_replaced_and_the_page_stays_in_order() -> None:
    once = page.with_section(OLD, "loop", "## Another loop\n\nProse.\n")
    assert page.sections(once)["loop"] == "### Another loop\n\nProse.\n"
    assert page.with_section(once, "loop", "## Another loop\n\nProse.\n") == once


def test_the_page_keeps_every_section_when_it_is_arranged() -> None:
    text = PAGE.read_text()
    arranged = page.arranged(text)
    assert page.arranged(arranged) == arranged
    own, kept = page.sections(text), page.sections(arranged)
    assert {name: page.rows(body) for name, body in own.items()} == {
        name: page.rows(body) for name, body in kept.items()
    }
    assert text.count("<!-- end of ") == len(kept)


def test_every_line_of_a_kind_names_a_section_of_it() -> None:
    for kind in figures.KINDS:
        assert {line.section for line in kind.lines} <= set(kind.sections)


def test_rows_go_by_the_first_of_equal_headings() -> None:
    table = "| recipe | WER | 95 % | CER | 95 % |\n|--|--|--|--|--|\n| a | 1 | 2 | 3 | 4 |\n\nend\n"
    assert page.rows(table) == [{"recipe": "a", "WER": "1", "95 %": "2", "CER": "3"}]
    assert page.rows("prose alone\n") == []


def test_seeds_give_a_mean_and_a_deviation() -> None:
    summary = joined([{"metrics": {"a": value, "b": 1.0}, "run": value} for value in (1.0, 2.0, 3.0)])
    assert summary["run"] == 1.0
    assert cell(summary, "a", 2) == "2.00 ± 1.00 (3 seeds)"
    assert cell(joined([{"metrics": {"a": 0.5}}]), "a", 2) == "0.50"


@pytest.mark.parametrize(
    ("code", "minutes", "outcome"),
    [
        ("pass", 1, night.DONE),
        ("raise SystemExit(3)", 1, night.FAILED),
        ("import signal; signal.pause()", 0.001, night.LATE),
    ],
)
def test_an_entry_ends_in_time_and_its_outcome_is_known(code: str, minutes: float, outcome: str) -> None:
    assert night.run("one", (sys.executable, "-S", "-c", code), minutes).outcome == outcome


def test_what_was_finished_for_the_commit_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def run(name: str, command: object, minutes: float) -> night.Entry:
        ran.append(name)
        return night.Entry(name, night.FAILED if name == "bad" else night.DONE, 1.0)

    monkeypatch.setattr(night, "run", run)
    monkeypatch.setattr(night, "commit", lambda: "abc")
    first = night.whole("evaluate", ["good", "bad", "other"], False, tmp_path)
    assert [entry.outcome for entry in first] == [night.DONE, night.FAILED, night.DONE]
    night.whole("evaluate", ["good", "bad", "other"], False, tmp_path)
    assert ran == ["good", "bad", "other", "bad"]
    night.whole("evaluate", ["good"], True, tmp_path)
    assert ran[-1] == "good"
    assert json.loads((tmp_path / "good.json").read_text())["commit"] == "abc"
    monkeypatch.setattr(night, "commit", lambda: None)
    night.whole("evaluate", ["good"], False, tmp_path)
    assert ran[-2:] == ["good", "good"]
    assert night.summary(first).endswith("2 done, 1 failed")
