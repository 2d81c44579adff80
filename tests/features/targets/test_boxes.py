"""Boxes as targets: how they are fitted to their images, checked, kept and encoded."""

import csv
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from features.datasets.dataset import Dataset
from features.decisions import Decisions, from_card
from features.errors import ConfigError, DataError
from features.ingest.ingest import ingest
from features.ingest.rules import BoxRules
from features.sources.annotations.annotation import Annotation
from features.sources.files.candidates import Columns
from features.spec import IMAGE
from features.targets.boxes import BOXES, PADDING
from features.targets.target import Gathered
from tests.faults.corpus import encode, exif, picture, plant
from tests.faults.ingests import notes, records
from tests.features.sources.annotated import annotation, coco, photo, voc

HEAD = "file,split,width,height,class,xmin,ymin,xmax,ymax"


def boxed(data: Path, **rules: Any) -> Dataset:
    """Ingest; the law of conservation holds in every run."""
    settings = BoxRules(**({"max_bad_fraction": 0.9, "decode_processes": 1} | rules))
    dataset: Dataset = ingest(
        data, raw=IMAGE, target=BOXES, columns=Columns(), rules=settings, root=data.parent / "datasets"
    )
    card = dataset.card
    assert card["found"] == card["accepted"] + card["quarantined"] + card["skipped"]
    return dataset


def table(folder: Path, *rows: str, head: str = HEAD) -> Path:
    """Write a table, and the photos a.png to f.png of 48 by 40 pixels."""
    plant(folder, {f"{name}.png": encode(picture(place), "PNG") for place, name in enumerate("abcdef")})
    return plant(folder, {"t.csv": "\n".join([head, *rows, ""]).encode()}) / "t.csv"


# -- classes ----------------------------------------------------------------------------------------


def test_classes_are_spelled_merged_and_dropped() -> None:
    decisions = Decisions()
    rules = BoxRules(merge={"kitten": "cat"}, drop=("cow",))
    text = annotation((" cat ", 1, 2, 3, 4), ("kitten", 1, 2, 3, 4), ("cow", 1, 2, 3, 4), ("dog", 1, 2, 3, 4))
    readings = BOXES.read([text, annotation()], rules, decisions)
    read = Annotation.of(str(readings[text]))
    assert [(box.label, box.row) for box in read.boxes] == [("cat", 1), ("cat", 2), ("dog", 4)]
    assert readings[annotation()] == annotation()
    said = [str(one) for one in decisions]
    assert "class 'kitten': merged into 'cat' (data.merge)" in said
    assert "class 'cow': left out (data.drop; its objects count as background)" in said
    assert any(one.startswith("label ' cat '") for one in said)


def test_numbers_are_read_as_the_data_write_them() -> None:
    decisions = Decisions()
    text = annotation(("cat", "1,5", "2", "11,25", "12"), ("cat", "", "x", "3", "4"))
    read = Annotation.of(str(BOXES.read([text], BoxRules(), decisions)[text]))
    assert [box.corners for box in read.boxes] == [("1.5", "2.0", "11.25", "12.0"), ("", "x", "3.0", "4.0")]
    assert [str(one) for one in decisions] == ["target 'corners': numbers written as 1234,5 (as in '1,5')"]


# -- a dataset ------------------------------------------------------------------------------------


def test_a_table_of_boxes_becomes_a_dataset(tmp_path: Path) -> None:
    path = table(
        tmp_path / "data",
        "a.png,train,48,40,dog,1,2,11,12",
        "b.png,train,48,40,cat,4,4,28,24",
        "a.png,train,48,40,cat,-5,0,24,20",
        "a.png,train,48,40,cat,30,2,20,12",
        "c.png,test,48,40,,,,,",
        "d.png,test,50,40,cat,1,2,11,12",
        "e.png,test,48,40,cat,0,0,6,10",
    )
    dataset = boxed(path, validation_fraction=0)
    assert dataset.labels == ("cat", "dog")
    frame = dataset.frame.set_index("name")
    assert frame["label"].to_dict() == {
        "a.png": "cat,0,0,24,20\ndog,1,2,11,12",
        "b.png": "cat,4,4,28,24",
        "c.png": "",
        "e.png": "cat,0,0,6,10",
    }
    found = {(one["path"], one["reason"], one["row"]) for one in records(dataset)}
    assert found == {("a.png", "empty_box", 4), ("d.png", "wrong_size", 6)}
    assert notes(dataset)["a.png"] == {"clipped_boxes"}
    assert dataset.card["notes"]["clipped_boxes"] == 1
    boxes = dataset.card["boxes"]
    assert boxes["classes"] == {
        "cat": {"train": 2, "validation": 0, "test": 1},
        "dog": {"train": 1, "validation": 0, "test": 0},
    }
    assert boxes["images_without_boxes"] == {"train": 0, "validation": 0, "test": 1}
    assert boxes["per_image"] == pytest.approx(
        {"least": 0, "lower_quartile": 0.75, "median": 1, "upper_quartile": 1.25, "most": 2}
    )
    assert boxes["sizes"]["cat"]["most"] == pytest.approx((24 * 20) ** 0.5)
    assert boxes["sizes"]["dog"]["least"] == pytest.approx(10)
    encoded = dict(zip(dataset.frame["name"], BOXES.encode(dataset.frame), strict=True))
    np.testing.assert_allclose(
        encoded["a.png"], [[0, 0, 0.5, 0.5, 0], [1 / 48, 0.05, 11 / 48, 0.3, 1]], rtol=1e-6
    )
    assert (encoded["c.png"] == PADDING).all()
    assert encoded["c.png"].shape == (2, 5)
    assert encoded["c.png"].dtype == np.float32


def test_decisions_say_what_was_done_about_boxes(tmp_path: Path) -> None:
    path = table(
        tmp_path / "data", "a.png,-1,2,11,12,cat", "b.png,1,2,60,12,cat", head="c.png,1,2,11,12,kitten"
    )
    dataset = boxed(path, merge={"kitten": "cat"}, validation_fraction=0, test_fraction=0.4)
    said = {(one["topic"], one["choice"]) for one in dataset.card["decisions"]}
    assert {
        ("annotations", "a table of boxes"),
        ("header", "none: the first row is a box"),
        ("boxes", "clipped in 2 images"),
        ("class", "merged into 'cat'"),
    } <= said


def test_the_three_forms_of_one_dataset_are_one_dataset(tmp_path: Path) -> None:
    """A table, Pascal VOC and COCO; with EXIF, which turns the photo of one."""
    photos = {f"{place}.jpg": photo(place, exif=exif(6 if place == 3 else 1)) for place in range(8)}
    boxes = {name: ("cat" if place % 2 else "dog", 1, 2, 21, 32) for place, name in enumerate(photos)}
    rows = [f"{name},{','.join(map(str, box[1:]))},{box[0]}" for name, box in boxes.items()]
    plant(
        tmp_path / "table", photos | {"t.csv": "\n".join(["file,xmin,ymin,xmax,ymax,class", *rows]).encode()}
    )
    plant(tmp_path / "voc", photos | {f"{name[:-4]}.xml": voc(name, box) for name, box in boxes.items()})
    objects = [
        {"image_id": 100 + place, "category_id": 7 if box[0] == "cat" else 9, "bbox": [1, 2, 20, 30]}
        for place, box in enumerate(boxes.values())
    ]
    written = json.dumps(coco(list(photos), objects)).encode()
    plant(tmp_path / "coco", photos | {"annotations.json": written})
    found = [boxed(tmp_path / form, test_fraction=0.3) for form in ("table", "voc", "coco")]
    assert len({one.fingerprint for one in found}) == 1
    assert {one.card["layout"] for one in found} == {"table", "voc", "coco"}
    assert found[0].card["accepted"] == 8
    warned = [str(one) for one in from_card(found[1].card) if one.warning]
    assert len(warned) == 1
    assert "coordinates may count in the other orientation in 1 image" in warned[0]
    stored = boxed(tmp_path / "voc", test_fraction=0.3, boxes="stored").frame.set_index("name")
    assert stored["label"]["3.jpg"] == "cat,8,1,38,21"
    assert stored["label"]["1.jpg"] == "cat,1,2,21,32"
    turned = found[1].frame[found[1].frame["name"] == "3.jpg"]
    np.testing.assert_allclose(BOXES.encode(turned)[0, 0], [1 / 40, 2 / 48, 21 / 40, 32 / 48, 0], rtol=1e-6)


def test_too_many_bad_boxes_stop_the_run(tmp_path: Path) -> None:
    bad = [f"a.png,train,48,40,cat,{place},2,{place},12" for place in range(4)]
    path = table(tmp_path / "data", *bad, "a.png,train,48,40,cat,1,2,11,12", "b.png,test,48,40,cat,1,2,11,12")
    with pytest.raises(DataError, match=r"4 of 6 examples of .*: a\.png row 1 \(empty_box: .*\) and 3 more"):
        boxed(path, max_bad_fraction=0.5)


def test_copies_are_kept_though_their_boxes_differ(tmp_path: Path) -> None:
    rows = [f"{name}.png,train,48,40,cat,{place},2,11,12" for place, name in enumerate("abc")]
    path = table(tmp_path / "data", *rows, "d.png,test,48,40,cat,1,2,11,12")
    (tmp_path / "data" / "b.png").write_bytes((tmp_path / "data" / "a.png").read_bytes())
    assert boxed(path).card["accepted"] == 4
    refused = records(boxed(path, conflicts="quarantine"))
    assert [one["reason"] for one in refused] == ["conflicting_labels"] * 2


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["a.png,train,48,40,,,,,", "b.png,test,48,40,,,,,"], "no usable box"),
        (["a.png,train,48,40,cat,0,0,1,1", "b.png,test,48,40,cat,0.1,0,0.5,1"], "fractions of the width"),
        (["a.png,train,48,40,cat,0,0,9,9", "b.png,test,48,40,Cat,0,0,9,9"], "differ in case"),
        (
            ["a.png,train,48,40,cat,0,0,9,9", "b.png,test,48,40,dog,0,0,9,9"],
            "no training image shows class 'dog'",
        ),
        (["a.png,train,48,40,cat,0,0,9,9"] * 2, "no example is left for the test split"),
    ],
)
def test_datasets_that_nothing_can_be_learnt_from(tmp_path: Path, rows: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        boxed(table(tmp_path / "data", *rows), validation_fraction=0, test_fraction=0.01)


def test_blocks_are_of_tables_alone(tmp_path: Path) -> None:
    plant(tmp_path / "data", {"a.jpg": photo(), "a.xml": voc("a.jpg", ("cat", 1, 2, 3, 4))})
    with pytest.raises(ConfigError, match=r"data\.block_column needs a table"):
        boxed(tmp_path / "data", block_column="scene")


# -- tensors --------------------------------------------------------------------------------------


def test_misfits_are_classes_and_corners_that_no_network_learns() -> None:
    good, pad = [0.1, 0.2, 0.3, 0.4, 1], [PADDING] * 5
    encoded = np.array(
        [
            [good, pad],
            [pad, pad],
            [good, [0.1, 0.2, 0.3, 0.4, 2]],
            [[0.3, 0.2, 0.1, 0.4, 0], pad],
            [[0.1, 0.2, 1.1, 0.4, 0], pad],
            [[0.1, np.nan, 0.3, 0.4, 0], pad],
            [[0.1, 0.2, 0.3, 0.4, -1], pad],
        ],
        np.float32,
    )
    assert BOXES.misfits(encoded, 2).tolist() == [2, 3, 4, 5, 6]
    assert BOXES.misfits(encoded, 3).tolist() == [3, 4, 5, 6]
    assert BOXES.expected(2) == "classes 0 to 1, in boxes within their image"
    assert BOXES.groups(encoded).tolist() == [0] * 7


def test_images_without_boxes_alone_are_encoded() -> None:
    frame = pd.DataFrame({"target": [[], []], "width": [4, 4], "height": [3, 3], "orientation": [1, 6]})
    assert (BOXES.encode(frame) == np.full((2, 1, 5), PADDING)).all()
    assert BOXES.names(["", "b,1,2,3,4\na,1,2,3,4"], ()) == ["a", "b"]
    assert BOXES.strata([""]) is None
    with pytest.raises(DataError, match="no usable box"):
        BOXES.check(Gathered([]))


# -- real data ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "archive", "images", "boxes", "splits"),
    [
        ("detect_bccd", "bccd.tar", 364, 4886, {"train": 205, "validation": 87, "test": 72}),
        ("detect_raccoon", "raccoon_416.tar", 200, 217, {"train": 160, "test": 40}),
    ],
)
def test_real_boxes_are_those_of_an_own_reading(
    shared: Path, tmp_path: Path, folder: str, archive: str, images: int, boxes: int, splits: dict[str, int]
) -> None:
    source = shared / "data" / folder
    with tarfile.open(source / archive) as packed:
        packed.extractall(tmp_path / "data", filter="data")
    expected: dict[str, Counter[tuple[str, ...]]] = {}
    for xml in sorted((tmp_path / "data").rglob("*.xml")):
        tree = ElementTree.parse(xml)
        image = xml.parent.parent / "images" / str(tree.findtext("filename"))
        expected[str(image.relative_to(tmp_path / "data"))] = Counter(
            (str(one.findtext("name")), *(str(one.findtext(f"bndbox/{key}")) for key in HEAD.split(",")[5:]))
            for one in tree.iter("object")
        )
    (tmp_path / "data" / "annotations.csv").write_bytes((source / "annotations.csv").read_bytes())
    of_voc = boxed(archive_copy(tmp_path, source / archive), max_bad_fraction=0)
    of_table = boxed(tmp_path / "data" / "annotations.csv", max_bad_fraction=0)
    assert of_voc.fingerprint == of_table.fingerprint
    for dataset in (of_voc, of_table):
        found = dict(zip(dataset.frame["name"], dataset.frame["label"], strict=True))
        assert {
            name: Counter(map(tuple, csv.reader(text.splitlines()))) for name, text in found.items()
        } == expected
        assert len(found) == images
        counts = dataset.card["boxes"]["classes"]
        assert sum(sum(parts.values()) for parts in counts.values()) == boxes
        encoded = BOXES.encode(dataset.frame)
        assert (encoded[..., 4] >= 0).sum() == boxes
        assert not len(BOXES.misfits(encoded, len(dataset.labels)))
    by_folder = Counter(name.split("/")[1] for name in expected)
    assert {"train": by_folder["train"], "test": by_folder["test"]} == {
        "train": splits["train"],
        "test": splits["test"],
    }
    given = of_table.card["splits"]
    assert given["test"] == splits["test"]
    if "validation" in splits:
        assert given == splits
    else:
        assert given["train"] + given["validation"] == splits["train"]


def archive_copy(folder: Path, archive: Path) -> Path:
    """Copy an archive to where datasets may be written beside it."""
    (folder / "packed").mkdir()
    copy = folder / "packed" / archive.name
    copy.write_bytes(archive.read_bytes())
    return copy
