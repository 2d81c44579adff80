"""docs/architecture.md names files and folders that exist, and every folder of the rooms."""

import re

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
ROOMS = ("features", "models", "serving", "flows")
#: Paths from the root in code spans; <task> and the like stand for any name.
PATHS = sorted(set(re.findall(r"`((?:features|models|serving|flows|tests|docs)/[\w/.<>-]*)`", PAGE)))
#: Folders of the map, each the first cell of a row.
MAP = set(re.findall(r"^\| (?:\*\*)?`([\w/]+)/`", PAGE, re.MULTILINE))


@pytest.mark.parametrize("path", PATHS)
def test_every_path_exists(path: str) -> None:
    pattern = re.sub(r"<\w+>", "*", path)
    places = [place for place in ROOT.glob(pattern.rstrip("/")) if place.is_dir() == path.endswith("/")]
    assert places, f"docs/architecture.md names {path}"


def test_every_folder_of_the_rooms_is_on_the_map() -> None:
    packages = {
        str(file.parent.relative_to(ROOT)) for room in ROOMS for file in (ROOT / room).rglob("__init__.py")
    }
    assert packages - MAP == set()


def test_the_page_names_enough_to_be_a_map() -> None:
    assert len(PATHS) > 60  # a change of the pattern must not empty the list
