"""The projection and the report in a real browser: pointing, searching, and a phone's width."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flows.reports.pages import page as report
from flows.reports.pages.page import Baseline, Fact, Headline, Report, Section, Table
from flows.reports.projection import map as projection
from flows.reports.projection.map import Point, Projection
from tests import browser
from tests.browser import Browser, Page

pytestmark = pytest.mark.skipif(browser.executable() is None, reason="no chromium on this machine")

WORDS = ("north", "south", "east", "west", "red", "green", "blue")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def map_page(tmp_path_factory) -> str:
    """The address of a map of seven words in two groups, every one at a place that is known."""
    path = tmp_path_factory.mktemp("map") / "projection.html"
    places = np.array([[0, 0], [4, 0], [0, 4], [4, 4], [1, 1], [3, 3], [2, 2]], np.float32)
    groups = ["north, south"] * 4 + ["red, green"] * 3
    points = [Point(word, [f"rank by frequency: {place}"]) for place, word in enumerate(WORDS)]
    projection.write(Projection("words", "near is alike", points, {"PCA": places}, {"group": groups}), path)
    return path.as_uri()


def opened(chromium: Browser, address: str, width: int) -> Page:
    page = chromium.page(width, 800)
    page.open(address)
    return page


def middle(page: Page) -> dict[str, float]:
    """Return the middle of the canvas, where the last word stands."""
    box = "document.querySelector('canvas').getBoundingClientRect()"
    x, y = (
        page.run(f"{box}.{side} + {box}.{size} / 2") for side, size in (("left", "width"), ("top", "height"))
    )
    return {"x": x, "y": y}


def test_pointing_at_a_word_shows_it_and_leaving_hides_it(chromium: Browser, map_page: str) -> None:
    page = opened(chromium, map_page, 1280)
    assert page.run("document.querySelector('#card').hidden")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", **middle(page))
    assert page.text("#card span").split("\n") == ["blue", "rank by frequency: 6", "group: red, green"]
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=5, y=5)
    assert page.run("document.querySelector('#card').hidden")
    assert page.complaints == []
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_search_counts_names_and_groups_and_enter_goes_from_one_to_the_next(
    chromium: Browser, map_page: str, width: int
) -> None:
    page = opened(chromium, map_page, width)
    for text, count in (("GREEN", 3), ("st", 2), ("nothing", 0)):
        page.fill("#search", text)
        assert page.text("#count") == f"{count} of 7"
    page.fill("#search", "st")
    for word in ("east", "west", "east"):
        page.press("Enter")
        assert page.text("#card b") == word
    assert page.run("document.documentElement.scrollWidth") <= width
    page.close()


def test_touching_a_word_shows_it(chromium: Browser, map_page: str) -> None:
    page = opened(chromium, map_page, 390)
    page.call("Emulation.setTouchEmulationEnabled", enabled=True)
    page.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[middle(page)])
    page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    page.wait_for("!document.querySelector('#card').hidden")
    assert page.text("#card b") == "blue"
    page.close()


def test_a_report_fits_a_phone_and_reads_outcome_first(chromium: Browser, tmp_path: Path) -> None:
    rows = [["passed", "live server answers as training", "identical, 64 examples", "at most 1e-05"]]
    sections = [
        Section("Gate", tables=[Table(("outcome", "check", "got", "expected"), rows)]),
        Section("Classes", tables=[Table(("class", *"abcdefgh"), [["x" * 20, *range(100, 108)]])]),
    ]
    headline = Headline(
        "test accuracy", 0.9, 0.8, 0.95, "95 % interval", baselines=[Baseline("always a", 0.5)]
    )
    made = Report(
        "pets", "image-classification", "published", "good", sections, headline=headline, facts=[Fact("a", 1)]
    )
    report.write(made, tmp_path / "report.html")
    page = opened(chromium, (tmp_path / "report.html").as_uri(), 390)
    assert page.run("document.documentElement.scrollWidth") <= 390
    cells = page.run(
        "[...document.querySelectorAll('td')].slice(0, 4).map(one => one.getBoundingClientRect().top)"
    )
    assert cells == sorted(cells)
    assert len(set(cells)) == 4
    labels = page.run("getComputedStyle(document.querySelectorAll('td')[1], '::before').content")
    assert json.loads(labels) in ("check", "attr(data-label)")
    assert [one for one in page.requests if not one.startswith(("file:", "data:", "about:"))] == []
    page.close()
