"""COCO: boxes and keypoints from JSON, in the layouts it is exported in."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from features.decisions import Decisions
from features.errors import DataError
from features.ingest.rules import BoxRules
from features.quarantine import RefusedError
from features.sources.files.candidates import Candidate, Columns, Source, TableOptions
from features.sources.recognise import recognise
from features.spec import IMAGE
from features.targets.boxes import BOXES
from features.targets.target import Fitted
from tests.faults.corpus import plant
from tests.features.sources.annotated import (
    boxes_of,
    coco,
    details,
    open_boxes,
    photo,
    refusal,
    rejected,
    skipped,
)

CAT = {"image_id": 100, "category_id": 7, "bbox": [1, 2, 10, 10.5]}


def written(folder: Path, images: list[str], **files: dict[str, Any]) -> Path:
    """Write photos and JSON files; in their names two underscores stand for a slash."""
    content = {name: photo(place) for place, name in enumerate(images)}
    jsons = {f"{name.replace('__', '/')}.json": json.dumps(one).encode() for name, one in files.items()}
    return plant(folder, content | jsons)


@pytest.mark.parametrize(
    ("image", "file_name", "stem"),
    [
        ("a.jpg", "a.jpg", "annotations"),
        ("images/a.jpg", "images/a.jpg", "annotations"),
        ("images/a.jpg", "a.jpg", "coco"),
        ("images/a.jpg", "a.jpg", "annotations__instances_default"),
        ("train2017/a.jpg", "a.jpg", "annotations__instances_train2017"),
        ("images/train2017/a.jpg", "a.jpg", "annotations__instances_train2017"),
        ("a.jpg", "a.jpg", "annotations__instances_x"),
    ],
)
@pytest.mark.parametrize("as_file", [True, False])
def test_layouts_of_coco(tmp_path: Path, image: str, file_name: str, stem: str, as_file: bool) -> None:
    data = written(tmp_path / "data", [image], **{stem: coco([file_name], [CAT])})
    source = open_boxes(data / f"{stem.replace('__', '/')}.json" if as_file else data)
    assert source.layout == "coco"
    assert boxes_of(source) == {image: (None, [("cat", "1", "2", "11", "12.5")])}


def test_one_file_for_each_split(tmp_path: Path) -> None:
    """As Roboflow exports it, and as COCO's own."""
    roboflow = {f"{split}___annotations.coco": coco(["a.jpg"], [CAT]) for split in ("train", "valid", "test")}
    data = written(tmp_path / "one", ["train/a.jpg", "valid/a.jpg", "test/a.jpg"], **roboflow)
    found = {name: split for name, (split, _) in boxes_of(open_boxes(data)).items()}
    assert found == {"train/a.jpg": "train", "valid/a.jpg": "validation", "test/a.jpg": "test"}
    own = {f"annotations__instances_{split}2017": coco(["a.jpg"], [CAT]) for split in ("train", "val")}
    captions = {"annotations__captions_train2017": {"images": [], "annotations": []}}
    people = {"annotations__person_keypoints_val2017": coco(["a.jpg"], [CAT])}
    data = written(tmp_path / "two", ["train2017/a.jpg", "val2017/a.jpg"], **own, **captions, **people)
    found = {name: split for name, (split, _) in boxes_of(open_boxes(data)).items()}
    assert found == {"train2017/a.jpg": "train", "val2017/a.jpg": "validation"}
    twice = {"a": coco(["a.jpg"], [CAT]), "b": coco(["a.jpg"], [CAT])}
    assert "holds several annotation files" in refusal(written(tmp_path / "three", ["a.jpg"], **twice))


def test_images_in_a_folder_that_is_named(tmp_path: Path) -> None:
    data = written(tmp_path, ["deep/er/a.jpg"], annotations=coco(["a.jpg"], [CAT]))
    source = open_boxes(data / "annotations.json")
    assert rejected(source) == [("annotations.json", "missing", 1)]
    assert "add --input-folder deep/er" in details(source)
    named = open_boxes(data / "annotations.json", table=TableOptions(folder="deep/er"))
    assert list(boxes_of(named)) == ["deep/er/a.jpg"]


def test_what_of_a_file_cannot_be_used(tmp_path: Path) -> None:
    objects = [
        CAT,
        {**CAT, "iscrowd": 1},
        {**CAT, "category_id": 1},
        {**CAT, "image_id": 5},
        {**CAT, "bbox": []},
        {**CAT, "bbox": [1, "x", 2, None]},
        {"image_id": [1]},
    ]
    content = coco(["a.jpg", "b.jpg", "../c.jpg", "\ud800.jpg", "nul\0.jpg"], objects)
    content["images"] += [{"id": 100, "file_name": "a.jpg"}, {"id": 200}, {"file_name": "a.jpg"}, "a.jpg"]
    source = open_boxes(written(tmp_path, ["a.jpg", "b.jpg"], x=content) / "x.json")
    assert boxes_of(source) == {
        "a.jpg": (
            None,
            [("cat", "1", "2", "11", "12.5"), ("cat", "", "", "", ""), ("cat", "1", "x", "3", "")],
        ),
        "b.jpg": (None, []),
    }
    bad = "bad_annotation"
    assert rejected(source) == [
        *(("x.json", bad, row) for row in (4, 4, 6, 7, 7, 8, 9)),
        ("x.json", "outside_folder", 3),
        ("x.json", "unknown_class", 3),
        ("x.json", "unreadable", 5),
    ]
    assert [one.choice for one in source.decisions if one.topic == "crowds"] == [
        "1 region of crowds left out"
    ]


#: What no exporter writes, in place of any part of a file.
_ODD = (
    None,
    5,
    -1,
    1e308,
    float("nan"),
    10**400,
    "x",
    "\ud800",
    "",
    [],
    {},
    [[1]],
    {"a": 1},
    True,
    [1, 2, 3, 4],
)


def _damage(content: Any, noise: random.Random) -> None:
    """Replace one part of a file, at any depth."""
    while True:
        key = noise.choice(list(content)) if isinstance(content, dict) else noise.randrange(len(content))
        if not isinstance(content[key], dict | list) or not content[key] or noise.random() < 0.3:
            content[key] = copy.deepcopy(noise.choice(_ODD))
            return
        content = content[key]


@pytest.mark.parametrize("kind", ["boxes", "points"])
def test_damaged_files_are_refused_whole_or_in_part(tmp_path: Path, kind: Any) -> None:
    objects = [CAT | {"keypoints": [1, 2, 2, 3, 4, 1]}, CAT | {"image_id": 101, "category_id": 9}]
    categories = [{"id": 7, "name": "cat", "keypoints": ["nose", "tail"]}, {"id": 9, "name": "dog"}]
    data, noise, read = written(tmp_path, ["a.jpg", "b.jpg"]), random.Random(0), 0
    for _ in range(300):
        content = copy.deepcopy(coco(["a.jpg", "b.jpg"], objects, categories))
        _damage(content, noise)
        (data / "x.json").write_text(json.dumps(content))
        try:
            entries = list(recognise(data / "x.json", IMAGE, Columns(annotations=kind), data / "scratch"))
        except DataError:
            continue
        read += 1
        texts = {entry.label for entry in entries if isinstance(entry, Candidate)}
        for text in BOXES.read(texts, BoxRules(), Decisions()).values() if kind == "boxes" else ():
            fitted = BOXES.fit(str(text), {"width": 48, "height": 40, "orientation": 6}, BoxRules())
            assert isinstance(fitted, Fitted | RefusedError)
    assert read > 100


NOSE = {"id": 1, "name": "person", "keypoints": ["nose", "left_eye"]}


def points(path: Path) -> Source:
    return recognise(path, IMAGE, Columns(annotations="points"), path.parent / "scratch")


def test_keypoints_of_one_object(tmp_path: Path) -> None:
    objects = [
        {"image_id": 100, "category_id": 1, "keypoints": [1, 2, 2, 0, 0, 0]},
        {"image_id": 101, "category_id": 1, "keypoints": [1.5, 2, 1, 3, 4, 2]},
        {"image_id": 101, "category_id": 1, "keypoints": [0, 0, 0, 0, 0, 0]},
        {"image_id": 102, "category_id": 1, "keypoints": [1, 2, 2, 3, 4, 2]},
        {"image_id": 102, "category_id": 1, "keypoints": [5, 6, 2, 7, 8, 2]},
        {"image_id": 104, "category_id": 1, "keypoints": [5, 6, 2]},
        {"image_id": 101, "category_id": 1, "iscrowd": 1, "keypoints": [1, 1, 1, 1, 1, 1]},
    ]
    names = [f"{name}.jpg" for name in "abcde"]
    data = written(tmp_path, names, person_keypoints_x=coco(names, objects, [NOSE]))
    for path in (data, data / "person_keypoints_x.json"):
        source = points(path)
        assert source.targets == ("nose_x", "nose_y", "left_eye_x", "left_eye_y")
        found = {one.name: one.label for one in source if isinstance(one, Candidate)}
        assert found == {"a.jpg": "1,2,,", "b.jpg": "1.5,2,3,4"}
        assert skipped(source) == [("d.jpg", "unannotated")]
        assert rejected(source) == [
            ("person_keypoints_x.json", "bad_annotation", 6),
            ("person_keypoints_x.json", "several_objects", 3),
        ]


def test_files_without_keypoints_are_no_source_of_them(tmp_path: Path) -> None:
    data = written(tmp_path / "data", ["a.jpg"], x=coco(["a.jpg"], [CAT]))
    with pytest.raises(DataError, match="has no keypoints"):
        points(data / "x.json")
    with pytest.raises(DataError, match=r"a COCO \.json of keypoints"):
        points(data)
    other = {"id": 2, "name": "dog", "keypoints": ["tail"]}
    data = written(tmp_path / "two", ["a.jpg"], x=coco(["a.jpg"], [], [NOSE, other]))
    with pytest.raises(DataError, match="different keypoints"):
        points(data / "x.json")


def test_a_table_of_points_is_read_as_before(tmp_path: Path) -> None:
    plant(tmp_path, {"a.jpg": photo(), "t.csv": b"file,label\na.jpg,1\n"})
    columns = Columns(annotations="points", several_targets=True)
    source = recognise(tmp_path, IMAGE, columns, tmp_path / "scratch", labelling="table")
    assert [one.label for one in source if isinstance(one, Candidate)] == ["1"]
