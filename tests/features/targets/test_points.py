"""Points as targets: which columns are recognised, how cells are read, fitted, kept and encoded."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from features.datasets.dataset import Dataset
from features.decisions import Decisions
from features.errors import ConfigError, DataError
from features.ingest.ingest import ingest
from features.ingest.rules import PointRules
from features.quarantine import RefusedError
from features.sources.files.candidates import Columns
from features.sources.tables.cells import line
from features.spec import IMAGE
from features.targets.points import POINTS, mirrored, pairs, parsed
from features.targets.target import Fitted, Gathered
from tests.faults.corpus import encode, exif, picture, plant
from tests.faults.ingests import records
from tests.features.sources.annotated import coco, photo

UPRIGHT = {"width": 48, "height": 40, "orientation": 1}


def pointed(data: Path, **rules: Any) -> Dataset:
    """Ingest; the law of conservation holds in every run."""
    settings = PointRules(**({"max_bad_fraction": 0.9, "decode_processes": 1} | rules))
    # As the plan asks for the columns of a task.
    columns = Columns(
        several_targets=True, target_gaps=True, annotations="points", find_targets=POINTS.columns
    )
    dataset: Dataset = ingest(
        data, raw=IMAGE, target=POINTS, columns=columns, rules=settings, root=data.parent / "datasets"
    )
    card = dataset.card
    assert card["found"] == card["accepted"] + card["quarantined"] + card["skipped"]
    return dataset


def table(folder: Path, head: str, *rows: str) -> Path:
    """Write a table, and the photos a.png to h.png of 48 by 40 pixels."""
    plant(folder, {f"{name}.png": encode(picture(place), "PNG") for place, name in enumerate("abcdefgh")})
    return plant(folder, {"t.csv": "\n".join([head, *rows, ""]).encode()}) / "t.csv"


# -- columns --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ("x0 y0 x1 y1", {"0": ("x0", "y0"), "1": ("x1", "y1")}),
        ("y0 x0", {"0": ("x0", "y0")}),
        ("x_0 y_0 x_10 y_10", {"0": ("x_0", "y_0"), "10": ("x_10", "y_10")}),
        ("0_x 0_y", {"0": ("0_x", "0_y")}),
        ("nose_x nose_y chin_x chin_y", {"nose": ("nose_x", "nose_y"), "chin": ("chin_x", "chin_y")}),
        ("x_nose y_nose", {"nose": ("x_nose", "y_nose")}),
        ("nose.x nose.y", {"nose": ("nose.x", "nose.y")}),
        ("left_eye_x left_eye_y", {"left_eye": ("left_eye_x", "left_eye_y")}),
        ("Nose_X Nose_Y", {"Nose": ("Nose_X", "Nose_Y")}),
        ("file box max y x split x0 y0", {"0": ("x0", "y0")}),
        ("box boy max may sex sey y", {}),
        ("x y", {}),
        ("nose_x chin_y x3", {}),
        ("xmin ymin xmax ymax", {}),
    ],
)
def test_pairs_of_columns_are_recognised(columns: str, found: dict[str, tuple[str, str]]) -> None:
    assert pairs(columns.split()) == found
    assert POINTS.columns(columns.split()) == tuple(column for pair in found.values() for column in pair)


def test_names_follow_the_columns() -> None:
    assert POINTS.names([], ["nose_x", "nose_y", "x_chin", "y_chin"]) == ["nose", "chin"]
    assert POINTS.names([], ["a", "b", "c", "d"]) == ["0", "1"]


@pytest.mark.parametrize("columns", ["x0 x1 y0 y1", "y0 x0", "x0 y0 y1 x1"])
def test_columns_that_would_be_taken_for_others_are_refused(columns: str) -> None:
    with pytest.raises(DataError, match=r"in the order x, y of each point; got '.*; expected 'x0', 'y0'"):
        POINTS.names([], columns.split())


# -- cells ----------------------------------------------------------------------------------------


def read(*cells: str) -> Any:
    text = line(list(cells))
    return POINTS.read([text], PointRules(), Decisions())[text]


@pytest.mark.parametrize(
    ("cells", "reason", "words"),
    [
        (("1", "2", "3", ""), "half_point", "point 2 has no y"),
        (("", "2", "3", "4"), "half_point", "point 1 has no x"),
        (("1", "2", "3"), "half_point", "3 coordinates are not pairs of x and y"),
        (("1", "2", "left", "4"), "not_a_number", "a coordinate is 'left'; expected a finite number"),
        (("1", "inf", "3", "4"), "not_a_number", "'inf'"),
        (("", " ", "", ""), "missing_value", "the row has no point"),
    ],
)
def test_rows_that_cannot_be_read_are_refused(cells: tuple[str, ...], reason: str, words: str) -> None:
    found = read(*cells)
    assert isinstance(found, RefusedError)
    assert found.reason == reason
    assert words in found.detail


def test_empty_cells_are_missing_points() -> None:
    np.testing.assert_array_equal(
        parsed([read("1.5", " 2", "", ""), read("-1e1", "2", "0", "7")]),
        [[[1.5, 2], [np.nan, np.nan]], [[-10, 2], [0, 7]]],
    )


# -- places ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "fits"),
    [
        (0, 0, True),
        (48, 40, True),
        (-4.8, 40, True),
        (-4.81, 40, False),
        (52.8, 44, True),
        (52.81, 20, False),
        (20, 44.1, False),
        (20, -4.1, False),
    ],
)
def test_points_may_lie_a_margin_outside(x: float, y: float, fits: bool) -> None:
    text = f",,{x},{y}"
    found = POINTS.fit(text, UPRIGHT, PointRules(margin=0.1))
    assert isinstance(found, Fitted) == fits
    if isinstance(found, Fitted):
        np.testing.assert_array_equal(parsed([found.text]), parsed([text]))
    else:
        assert found.reason == "outside_image"
        assert found.detail == f"point 2 lies at ({x:g}, {y:g}) of an image of 48 x 40 pixels"
    assert isinstance(POINTS.fit(text, UPRIGHT, PointRules(margin=0.5)), Fitted)


@pytest.mark.parametrize("turn", range(1, 9))
def test_stored_points_are_turned_as_the_photo_is(turn: int, tmp_path: Path) -> None:
    """The oracle is Pillow: the middle of a white square in the stored pixels, once it is upright."""
    stored = Image.new("L", (48, 40))
    stored.paste(255, (6, 8, 10, 12))
    stored.save(tmp_path / "a.png", exif=exif(turn))
    with Image.open(tmp_path / "a.png") as opened:
        left, top, right, bottom = ImageOps.exif_transpose(opened).getbbox() or (0, 0, 0, 0)
    measures = UPRIGHT | {"orientation": turn}
    found = POINTS.fit("8,10", measures, PointRules(points="stored"))
    assert isinstance(found, Fitted)
    assert parsed([found.text])[0, 0].tolist() == [(left + right) / 2, (top + bottom) / 2]
    # As displayed they stay, and the displayed size counts: (44, 8) lies outside of a turned photo.
    assert POINTS.fit("8,10", measures, PointRules()) == Fitted("8,10")
    assert isinstance(POINTS.fit("47,8", measures, PointRules()), Fitted) == (turn < 5)


# -- a dataset ------------------------------------------------------------------------------------


def test_a_table_of_points_becomes_a_dataset(tmp_path: Path) -> None:
    path = table(
        tmp_path / "data",
        "file,split,x0,y0,left_x,left_y,box",
        "a.png,train,12,10,24,30,1",
        "b.png,train,,,24.5,30,2",
        "c.png,test,48,40,0,0,3",
        "d.png,train,1,,2,3,4",
        "e.png,train,one,2,3,4,5",
        "f.png,train,1,2,300,4,6",
        "g.png,train,,,,,7",
    )
    dataset = pointed(path, validation_fraction=0)
    assert dataset.labels == ("0", "left")
    assert {(Path(one["path"]).name, one["reason"]) for one in records(dataset)} == {
        ("d.png", "half_point"),
        ("e.png", "not_a_number"),
        ("f.png", "outside_image"),
        ("g.png", "missing_value"),
    }
    assert dataset.card["points"] == {
        "0": {"train": 1, "test": 1},
        "left": {"train": 2, "test": 1},
    }
    # The manifest on disk keeps what was read.
    frame = pd.read_parquet(next((tmp_path / "data" / "datasets").glob("*/manifest.parquet")))
    kept = frame.set_index("name")["target"]["b.png"]
    np.testing.assert_array_equal(kept, [np.nan, np.nan, 24.5, 30])
    encoded = dict(zip(dataset.frame["name"], POINTS.encode(dataset.frame), strict=True))
    np.testing.assert_allclose(encoded["a.png"], [[0.25, 0.25, 1], [0.5, 0.75, 1]])
    np.testing.assert_allclose(encoded["b.png"], [[0, 0, 0], [24.5 / 48, 0.75, 1]])
    np.testing.assert_allclose(encoded["c.png"], [[1, 1, 1], [0, 0, 1]])
    assert encoded["a.png"].dtype == np.float32
    assert not len(POINTS.misfits(POINTS.encode(dataset.frame), 2))


def test_coco_keypoints_become_the_same_points(tmp_path: Path) -> None:
    """With visibility 0 a point is missing; EXIF turns one photo, whose points are displayed or stored."""
    names = [f"{place}.jpg" for place in range(8)]
    photos = {name: photo(place, exif=exif(6 if place == 3 else 1)) for place, name in enumerate(names)}
    category = {"id": 1, "name": "face", "keypoints": ["left_eye", "right_eye"]}
    objects = [
        {"image_id": 100 + place, "category_id": 1, "keypoints": [4, 6, 2, 20, 30, 0 if place == 1 else 1]}
        for place in range(8)
    ]
    written = json.dumps(coco(names, objects, [category])).encode()
    plant(tmp_path / "data", {**photos, "annotations.json": written})
    dataset = pointed(tmp_path / "data", test_fraction=0.3)
    assert dataset.labels == ("left_eye", "right_eye")
    frame = dataset.frame.set_index("name")
    assert frame["target"]["0.jpg"].tolist() == [4, 6, 20, 30]
    np.testing.assert_array_equal(frame["target"]["1.jpg"], [4, 6, np.nan, np.nan])
    turned = POINTS.encode(dataset.frame[dataset.frame["name"] == "3.jpg"])[0]
    np.testing.assert_allclose(turned[:, :2], [[4 / 40, 6 / 48], [20 / 40, 30 / 48]], rtol=1e-6)
    stored = pointed(tmp_path / "data", test_fraction=0.3, points="stored").frame.set_index("name")
    # A quarter turn clockwise: what was left is at the top.
    assert stored["target"]["3.jpg"].tolist() == [40 - 6, 4, 40 - 30, 20]
    assert stored["target"]["0.jpg"].tolist() == [4, 6, 20, 30]


def test_encode_is_numpys() -> None:
    random = np.random.default_rng(0)
    targets = random.uniform(0, 30, (20, 4, 2))
    targets[random.random((20, 4)) < 0.3] = np.nan
    turn, size = random.integers(1, 9, 20), random.integers(30, 90, (20, 2))
    frame = pd.DataFrame({"target": list(targets.reshape(20, -1)), "orientation": turn})
    frame["width"], frame["height"] = size[:, 0], size[:, 1]
    encoded = POINTS.encode(frame)
    shown = np.where(turn[:, None] >= 5, size[:, ::-1], size)
    known = np.isfinite(targets[..., 0])
    np.testing.assert_array_equal(encoded[..., 2], known)
    np.testing.assert_allclose(encoded[..., :2][known], (targets / shown[:, None])[known], rtol=1e-6)
    assert (encoded[~known] == 0).all()


def test_what_has_no_point_is_refused() -> None:
    with pytest.raises(DataError, match="no usable example"):
        POINTS.check(Gathered([]))
    with pytest.raises(DataError, match="point 2 is missing in every example"):
        POINTS.check(Gathered(["1,2,,", "3,4,,"]))
    POINTS.check(Gathered(["1,2,,", ",,3,4"]))


# -- left and right -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "partners"),
    [
        (("left_eye", "right_eye", "nose"), [1, 0, 2]),
        (("nose", "eye.R", "eye.L"), [0, 2, 1]),
        (("Left knee", "Right knee"), [1, 0]),
        (("l_hip", "r_hip", "l_toe"), [1, 0, 2]),
        (("LEFT", "RIGHT"), [1, 0]),
        (("left_eye", "nose"), None),
        (("cleft", "cright"), None),
        (("0", "1"), None),
    ],
)
def test_sides_are_known_by_name(names: tuple[str, ...], partners: list[int] | None) -> None:
    assert mirrored(names) == partners


def test_given_pairs_count_alone() -> None:
    assert mirrored(("left_eye", "right_eye", "a", "b"), [("a", "b")]) == [0, 1, 3, 2]


@pytest.mark.parametrize("given", [[("a", "b"), ("b", "c")], [("a", "a")], [("a", "b"), ("a", "b")]])
def test_a_point_has_one_partner(given: list[tuple[str, str]]) -> None:
    with pytest.raises(ConfigError, match=r"augmentation\.pairs names a point twice; got \['a', "):
        mirrored(("a", "b", "c"), given)
