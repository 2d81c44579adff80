"""Tables of boxes and Pascal VOC: every layout, and what of them cannot be used."""

import tarfile
from pathlib import Path

import pandas
import pytest

from features.quarantine import RefusedError
from features.sources.annotations import voc_file
from features.sources.files.candidates import TableOptions
from tests.faults.corpus import plant
from tests.features.sources.annotated import (
    boxes_of,
    details,
    open_boxes,
    photo,
    refusal,
    rejected,
    skipped,
    voc,
)

TWO = [("cat", "1", "2", "11", "12"), ("dog", "3", "4", "13", "14")]
HEADERS = [
    ("file,split,width,height,class,xmin,ymin,xmax,ymax", "{f},train,48,40,{c},{0},{1},{2},{3}"),
    ("filename,width,height,class,xmin,ymin,xmax,ymax", "{f},48,40,{c},{0},{1},{2},{3}"),
    ("file,xmin,ymin,xmax,ymax,class", "{f},{0},{1},{2},{3},{c}"),
    ("Image_Path,X1,Y1,X2,Y2,Label", "{f},{0},{1},{2},{3},{c}"),
    ("image_id,class_name,x_min,y_min,x_max,y_max", "{f},{c},{0},{1},{2},{3}"),
    ("path,category,bbox_x1,bbox_y1,bbox_x2,bbox_y2", "{f},{c},{0},{1},{2},{3}"),
    ("path;name;left;top;right;bottom", "{f};{c};{0};{1};{2};{3}"),
    ("ImageID,path,LabelName,XMin,XMax,YMin,YMax", "{f},x,{c},{0},{2},{1},{3}"),
]


def images(*names: str) -> dict[str | bytes, bytes]:
    return {name: photo(place) for place, name in enumerate(names)}


def rows(pattern: str, *written: tuple[str, tuple[str, ...]]) -> list[str]:
    return [pattern.format(*corners, f=file, c=label) for file, (label, *corners) in written]


@pytest.mark.parametrize(("header", "pattern"), HEADERS)
def test_headers_of_box_tables_are_recognised(tmp_path: Path, header: str, pattern: str) -> None:
    written = rows(pattern, ("a.jpg", TWO[0]), ("b.jpg", TWO[0]), ("a.jpg", TWO[1]))
    if header.startswith("ImageID"):
        written = [line.replace(",x,", ",a.jpg,", 1) for line in written]
    plant(tmp_path, images("a.jpg", "b.jpg") | {"t.csv": "\n".join([header, *written, ""]).encode()})
    source = open_boxes(tmp_path / "t.csv")
    found = boxes_of(source)
    if header.startswith("ImageID"):  # The path wins over the id.
        assert [len(boxes) for _, boxes in found.values()] == [3]
        return
    split = "train" if "split" in header else None
    assert found == {"a.jpg": (split, TWO), "b.jpg": (split, TWO[:1])}
    assert source.layout == "table"


@pytest.mark.parametrize("empty_first", [False, True])
def test_a_table_without_a_header_is_told_by_its_first_row(tmp_path: Path, empty_first: bool) -> None:
    lines = ["a.jpg,1,2,11,12,cat", "b.jpg,,,,,", "a.jpg,3,4,13,14,dog"]
    lines = [lines[1], lines[0], lines[2]] if empty_first else lines
    plant(tmp_path, images("a.jpg", "b.jpg") | {"t.csv": ("\n".join(lines) + "\n").encode()})
    source = open_boxes(tmp_path / "t.csv")
    assert boxes_of(source) == {"a.jpg": (None, TWO), "b.jpg": (None, [])}
    assert "header 't.csv': none: the first row is a box" in [
        str(one).partition(" (")[0] for one in source.decisions
    ]
    told = open_boxes(tmp_path / "t.csv", table=TableOptions(header=False))
    assert boxes_of(told) == boxes_of(source)


@pytest.mark.parametrize("ending", ["tsv", "parquet"])
def test_box_tables_of_other_kinds_agree(tmp_path: Path, ending: str) -> None:
    frame = pandas.DataFrame(
        {
            "where": ["a.jpg", "b.jpg", "a.jpg"],
            "part": ["train", "val", "train"],
            "what": ["cat", None, "dog"],
            "xmin": [1, None, 3],
            "ymin": [2, None, 4],
            "xmax": [11.5, None, 13],
            "ymax": [12, None, 14],
        }
    )
    plant(tmp_path, images("a.jpg", "b.jpg"))
    path = tmp_path / f"t.{ending}"
    frame.to_parquet(path) if ending == "parquet" else frame.to_csv(path, sep="\t", index=False)
    found = boxes_of(open_boxes(path, input="where", split="part", target="what"))
    assert found["b.jpg"] == ("validation", [])
    split, boxes = found["a.jpg"]
    assert split == "train"
    assert [(label, *map(float, corners)) for label, *corners in boxes] == [
        ("cat", 1, 2, 11.5, 12),
        ("dog", 3, 4, 13, 14),
    ]


@pytest.mark.parametrize("header", ["x,y,w,h", "x,y,width,height", "bbox_x,bbox_y,bbox_width,bbox_height"])
def test_width_and_height_of_a_box_are_added_to_its_corner(tmp_path: Path, header: str) -> None:
    table = f"path,class,{header}\na.jpg,cat,1,2,10,10.5\na.jpg,cat,1,2,?,3\n"
    plant(tmp_path, images("a.jpg") | {"t.csv": table.encode()})
    (_, boxes) = boxes_of(open_boxes(tmp_path / "t.csv"))["a.jpg"]
    assert boxes == [("cat", "1", "2", "11.0", "12.5"), ("cat", "1", "2", "?", "5.0")]


def test_tables_of_splits_are_one_source(tmp_path: Path) -> None:
    head = b"file,xmin,ymin,xmax,ymax,class\n"
    plant(
        tmp_path,
        images("a.jpg", "b.jpg")
        | {"train.csv": head + b"a.jpg,1,2,11,12,cat\n", "val.csv": head + b"b.jpg,1,2,11,12,cat\n"},
    )
    found = boxes_of(open_boxes(tmp_path))
    assert {name: split for name, (split, _) in found.items()} == {"a.jpg": "train", "b.jpg": "validation"}


def test_the_table_of_boxes_among_others_is_meant(tmp_path: Path) -> None:
    table = b"file,xmin,ymin,xmax,ymax,class\na.jpg,1,2,11,12,cat\n"
    plant(tmp_path, images("a.jpg") | {"boxes.csv": table, "camera.csv": b"file,lens\na.jpg,35\n"})
    assert boxes_of(open_boxes(tmp_path)) == {"a.jpg": (None, TWO[:1])}


def test_rows_of_one_file_under_other_spellings_are_one_image(tmp_path: Path) -> None:
    table = (
        "file,xmin,ymin,xmax,ymax,class\nin/a.jpg,1,2,11,12,cat\nin\\a.jpg,3,4,13,14,dog\n./in/a.jpg,,,,,\n"
    )
    plant(tmp_path, images("in/a.jpg") | {"t.csv": table.encode()})
    assert boxes_of(open_boxes(tmp_path / "t.csv")) == {"in/a.jpg": (None, TWO)}


def test_images_of_a_table_are_looked_up_as_those_of_any_table(tmp_path: Path) -> None:
    table = b"file,xmin,ymin,xmax,ymax,class\na,1,2,11,12,cat\nb,1,2,11,12,cat\n../c,1,2,11,12,cat\n"
    plant(tmp_path, images("photos/a.jpg") | {"t.csv": table})
    options = TableOptions(suffix=".jpg", folder="photos")
    source = open_boxes(tmp_path / "t.csv", table=options)
    assert list(boxes_of(source)) == ["photos/a.jpg"]
    assert rejected(source) == [("t.csv", "missing", 2), ("t.csv", "missing", 3)]
    source = open_boxes(tmp_path / "t.csv")
    assert "add --input-suffix .jpg --input-folder photos" in details(source)
    assert ("t.csv", "outside_folder", 3) in rejected(source)


def test_rows_that_cannot_be_used_are_refused_by_themselves(tmp_path: Path) -> None:
    table = (
        b"file,split,xmin,ymin,xmax,ymax,class\n"
        b"a.jpg,train,1,2,11,12,cat\n"
        b"a.jpg,train,1,2\n"
        b"\n"
        b",train,1,2,11,12,cat\n"
        b"b.jpg,train,1,2,11,12,cat\n"
        b"b.jpg,test,1,2,11,12,cat\n"
        b"c.jpg,later,1,2,11,12,cat\n"
    )
    plant(tmp_path, images("a.jpg", "b.jpg", "c.jpg") | {"t.csv": table})
    source = open_boxes(tmp_path / "t.csv")
    assert boxes_of(source) == {"a.jpg": ("train", TWO[:1])}
    assert rejected(source) == [
        ("t.csv", "missing_value", 4),
        ("t.csv", "ragged_row", 2),
        ("t.csv", "split_conflict", 5),
        ("t.csv", "unknown_split", 7),
    ]
    assert "train in row 5, test in row 6" in details(source)
    assert skipped(source) == [("t.csv:3", "blank_row")]


def test_a_table_without_boxes_says_what_is_missing(tmp_path: Path) -> None:
    plant(tmp_path, images("a.jpg") | {"t.csv": b"file,class\na.jpg,cat\n", "u.csv": b"a,b\n1,2\n"})
    assert "no columns that are recognised as boxes" in refusal(tmp_path / "t.csv")
    assert "cannot tell which column of u.csv is the input" in refusal(tmp_path / "u.csv")


# -- Pascal VOC -----------------------------------------------------------------------------------

CAT, DOG = ("cat", 1, 2, 11, 12), ("dog", 3, 4, 13, 14)


@pytest.mark.parametrize(
    ("image", "annotation", "split"),
    [
        ("a.jpg", "a.xml", None),
        ("images/a.jpg", "annotations/a.xml", None),
        ("JPEGImages/a.jpg", "Annotations/a.xml", None),
        ("JPEGImages/a.jpg", "a.xml", None),
        ("a.jpg", "Annotations/a.xml", None),
        ("train/a.jpg", "train/a.xml", "train"),
        ("valid/images/a.jpg", "valid/annotations/a.xml", "validation"),
        ("images/test/a.jpg", "annotations/test/a.xml", "test"),
        ("VOCdevkit/VOC2007/JPEGImages/a.jpg", "VOCdevkit/VOC2007/Annotations/a.xml", None),
        ("set/train/images/a.jpg", "set/train/annotations/a.xml", "train"),
    ],
)
def test_layouts_of_voc(tmp_path: Path, image: str, annotation: str, split: str | None) -> None:
    part = "<part><name>head</name><bndbox><xmin>0</xmin></bndbox></part>"
    plant(tmp_path / "data", images(image) | {annotation: voc("a.jpg", CAT, DOG, cat=part)})
    source = open_boxes(tmp_path / "data")
    assert source.layout == "voc"
    assert boxes_of(source) == {image: (split, TWO)}
    with tarfile.open(tmp_path / "data.tar", "w") as packed:
        packed.add(tmp_path / "data", "data")
    assert list(boxes_of(open_boxes(tmp_path / "data.tar")).values()) == [(split, TWO)]


def test_lists_of_voc_give_the_splits(tmp_path: Path) -> None:
    files = images(*(f"JPEGImages/{name}.jpg" for name in "abcd"))
    files |= {f"Annotations/{name}.xml": voc(f"{name}.jpg", CAT) for name in "abcd"}
    lists = {
        "train": b"a\nd\n",
        "val": b"b\nd\n",
        "test": b"c\n",
        "trainval": b"a\nb\nd\n",
        "cat_train": b"a 1\n",
    }
    plant(tmp_path, files | {f"ImageSets/Main/{name}.txt": text for name, text in lists.items()})
    source = open_boxes(tmp_path)
    found = {name: split for name, (split, _) in boxes_of(source).items()}
    assert found == {
        "JPEGImages/a.jpg": "train",
        "JPEGImages/b.jpg": "validation",
        "JPEGImages/c.jpg": "test",
    }
    assert rejected(source) == [("JPEGImages/d.jpg", "split_conflict", None)]
    assert skipped(source) == [
        ("ImageSets/Main/cat_train.txt", "unsupported_extension"),
        ("ImageSets/Main/trainval.txt", "unsupported_extension"),
    ]
    (tmp_path / "ImageSets/Main/train.txt").unlink()
    assert boxes_of(open_boxes(tmp_path))["JPEGImages/a.jpg"][0] == "train"


def test_an_image_is_found_by_the_name_in_its_xml_else_by_that_of_the_xml(tmp_path: Path) -> None:
    files = images("one.jpg", "b.PNG", "c.jpg", "d.jpg", "e.jpg")
    files |= {
        "a.xml": voc("C:\\photos\\one.jpg", CAT),
        "b.xml": voc("b.jpg", CAT),
        "c.xml": voc("image.jpg", CAT),
        "d.xml": voc("e.jpg", CAT),
        "e.xml": voc("e.jpg", DOG),
        "f.xml": voc("gone.jpg", DOG),
    }
    source = open_boxes(plant(tmp_path, files))
    assert {name: boxes[0][0] for name, (_, boxes) in boxes_of(source).items()} == {
        "b.PNG": "cat",
        "c.jpg": "cat",
        "d.jpg": "cat",
        "e.jpg": "dog",
        "one.jpg": "cat",
    }
    assert rejected(source) == [("f.xml", "missing", None)]
    assert any("2 files read for the image of their own name" in str(one) for one in source.decisions)


def test_several_xml_files_of_one_image_refuse_it(tmp_path: Path) -> None:
    files = images("a.jpg") | {"a.xml": voc("a.jpg", CAT), "b.xml": voc("a.jpg", DOG)}
    source = open_boxes(plant(tmp_path, files))
    assert rejected(source) == [("a.jpg", "bad_annotation", None)]
    assert "a.xml, b.xml" in details(source)


def test_images_of_another_split_are_not_taken(tmp_path: Path) -> None:
    files = images("train/a.jpg", "test/b.jpg")
    files |= {"train/a.xml": voc("a.jpg", CAT), "train/b.xml": voc("b.jpg", CAT)}
    source = open_boxes(plant(tmp_path, files))
    assert list(boxes_of(source)) == ["train/a.jpg"]
    assert rejected(source) == [("train/b.xml", "missing", None)]


def test_images_without_xml_are_skipped_or_empty(tmp_path: Path) -> None:
    files = images("a.jpg", "b.jpg", "c.jpg") | {"a.xml": voc("a.jpg", CAT), "b.xml": voc("b.jpg")}
    plant(tmp_path, files)
    source = open_boxes(tmp_path)
    assert boxes_of(source) == {"a.jpg": (None, TWO[:1]), "b.jpg": (None, [])}
    assert skipped(source) == [("c.jpg", "unannotated")]
    assert [one.choice for one in source.decisions if one.warning] == ["1 without XML skipped"]
    assert boxes_of(open_boxes(tmp_path, unannotated="empty"))["c.jpg"] == (None, [])


BOMB = '<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (voc("a.jpg", CAT, head=BOMB), "DOCTYPE 'lolz'"),
        (voc("a.jpg", CAT, head='<!DOCTYPE annotation SYSTEM "file:///etc/passwd">'), "DOCTYPE"),
        (voc("a.jpg", CAT)[:-3], "malformed XML"),
        (b"", "malformed XML: no element found"),
        (b"<annotation><filename>&other;</filename></annotation>", "undefined entity"),
        (b'<?xml version="1.0" encoding="no-such"?><annotation/>', "XML"),
        (b'<?xml version="1.0" encoding="gb2312"?><annotation/>', "XML"),
    ],
)
def test_xml_that_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    files = images("a.jpg", "b.jpg") | {"a.xml": content, "b.xml": voc("b.jpg", CAT)}
    source = open_boxes(plant(tmp_path, files))
    assert list(boxes_of(source)) == ["b.jpg"]
    assert rejected(source) == [("a.xml", "bad_annotation", None)]
    assert words in details(source)


def test_xml_without_end_and_links_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voc_file, "MOST_BYTES", 1000)
    files = images("a.jpg", "b.jpg", "c.jpg")
    files |= {"a.xml": voc("a.jpg", *[CAT] * 100), "b.xml": voc("b.jpg", CAT)}
    plant(tmp_path / "data", files)
    plant(tmp_path, {"secret.xml": voc("c.jpg", CAT)})
    (tmp_path / "data/c.xml").symlink_to(tmp_path / "secret.xml")
    source = open_boxes(tmp_path / "data")
    assert list(boxes_of(source)) == ["b.jpg"]
    assert rejected(source) == [("a.xml", "too_large", None)]
    assert skipped(source) == [("c.jpg", "unannotated"), ("c.xml", "symlink")]


def test_xml_in_encodings_that_declare_themselves() -> None:
    text = '<?xml version="1.0" encoding="{}"?><annotation><object><name>Köter</name></object></annotation>'
    for name in ("utf-8", "latin-1", "utf-16"):
        file = voc_file.parse(text.format("iso-8859-1" if name == "latin-1" else name).encode(name))
        assert file is not None
        assert [box.label for box in file.annotation.boxes] == ["Köter"]
    assert voc_file.parse(b"<svg/>") is None
    with pytest.raises(RefusedError, match="bad_annotation"):
        voc_file.parse(b"no XML")


def test_voc_beside_other_sources_is_ambiguous(tmp_path: Path) -> None:
    files = images("a.jpg") | {"a.xml": voc("a.jpg", CAT), "meta.xml": b"<meta/>"}
    plant(tmp_path / "data", files)
    assert skipped(open_boxes(tmp_path / "data")) == [("meta.xml", "unsupported_extension")]
    plant(tmp_path / "data", {"t.csv": b"file,xmin,ymin,xmax,ymax,class\na.jpg,1,2,11,12,cat\n"})
    message = refusal(tmp_path / "data")
    assert "ambiguous" in message
    assert "--data t.csv" in message


def test_a_folder_without_annotations_is_no_source(tmp_path: Path) -> None:
    plant(tmp_path / "data", images("cat/a.jpg", "dog/b.jpg"))
    message = refusal(tmp_path / "data")
    assert "Pascal VOC's XML files beside images" in message
    assert "Pass the file of annotations" in message
    plant(tmp_path, {"x.json": b"{}", "y.json": b"[", "z.txt": b""})
    assert "JSON without a list 'images'" in refusal(tmp_path / "x.json")
    assert "no JSON" in refusal(tmp_path / "y.json")
    assert "a COCO .json with its images" in refusal(tmp_path / "z.txt")
