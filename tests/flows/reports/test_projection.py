"""The map of examples: one page, nothing fetched, whatever the names are."""

import base64
import hashlib
import html.parser
import json
import re

import numpy as np
import pytest

from flows.reports.projection import map as projection
from flows.reports.projection.map import Point, Projection

HOSTILE = "</script><script>alert(1)</script><!-- & \u202e.png"


class Parsed(html.parser.HTMLParser):
    """The tags of a page with their attributes, and the text of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and data.strip():
            self.scripts.append(data)


@pytest.fixture(scope="module")
def page() -> str:
    return projection.render(
        Projection(
            title=HOSTILE,
            caption="near is alike",
            points=[
                Point(HOSTILE, data=b"\xff\xd8\xff"),
                Point("a.wav", ["1.0 s"], b"RIFF", "audio/wav"),
                Point("word"),
            ],
            layouts={"PCA": np.array([[0, 5], [2, 5], [4, 5]]), "t-SNE": np.eye(3, 2)},
            colours={"cluster": ["10", "2", "10"], "label": ["b", HOSTILE, "a"]},
        )
    )


def test_hostile_names_stay_text(page: str) -> None:
    parsed = Parsed(page)
    assert [attributes.get("type") for tag, attributes in parsed.tags if tag == "script"] == [
        "application/json",
        None,
    ]
    assert "alert(1)</script>" not in page
    assert "\u202e" not in page
    data = json.loads(parsed.scripts[0])
    assert data["points"][0]["title"] == HOSTILE.replace("\u202e", "\\u202e")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", projection.SCRIPT)


def test_nothing_but_the_pages_own_script_may_run_and_nothing_is_fetched(page: str) -> None:
    parsed = Parsed(page)
    (policy,) = (found["content"] for tag, found in parsed.tags if "http-equiv" in found)
    digest = base64.b64encode(hashlib.sha256(parsed.scripts[1].encode()).digest()).decode()
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}'" in policy
    assert not [found for _, found in parsed.tags if {"src", "href", "srcset", "action"} & set(found)]
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|import\(", page)


def test_the_data_are_as_given(page: str) -> None:
    data = json.loads(Parsed(page).scripts[0])
    assert data["layouts"]["PCA"] == [[0, 0], [0.5, 0], [1, 0]]
    assert data["colours"]["cluster"] == {"names": ["2", "10"], "of": [1, 0, 1]}
    assert [point["mime"] for point in data["points"]] == ["image/jpeg", "audio/wav", ""]
    assert base64.b64decode(data["points"][1]["data"]) == b"RIFF"


def test_of_too_many_examples_some_are_chosen() -> None:
    assert projection.chosen(5).tolist() == [0, 1, 2, 3, 4]
    few = projection.chosen(9000)
    assert len(set(few.tolist())) == len(few) == projection.MOST
    assert (np.diff(few) > 0).all()
