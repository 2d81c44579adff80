"""Fault cases of tables, classes, copies and labels at ingest (I19 to I21, I25)."""

import json
from pathlib import Path

import pytest

from features.errors import DataError, ServableError
from tests.faults.corpus import classes, encode, picture, plant
from tests.faults.ingests import LENIENT, records, run


def table(folder: Path, text: bytes) -> Path:
    """Write a table over planted pictures."""
    files = {f"p/{number:02}.png": encode(picture(number), "PNG") for number in range(20)}
    plant(folder, files)
    (folder / "table.csv").write_bytes(text)
    return folder / "table.csv"


GOOD_ROWS = b"".join(
    b"p/%02d.png,%s\n" % (number, b"ab"[number % 2 : number % 2 + 1]) for number in range(20)
)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", ["empty"]),
        (b"file,label\n", []),
        (b"picture,label\n" + GOOD_ROWS, ["file", "picture", "label"]),
        (b"file,label,label\n" + GOOD_ROWS.replace(b"\n", b",x\n"), ["label"]),
    ],
    ids=["empty", "header alone", "missing column", "twice the same column"],
)
def test_i19_header_faults_stop(tmp_path: Path, head: bytes, words: list[str]) -> None:
    path = table(tmp_path / "data", head)
    with pytest.raises(ServableError) as caught:
        run(path, input="file", target="label")
    assert caught.value.exit_code == 65
    for word in words:
        assert word in str(caught.value)


def test_i19_row_faults_are_quarantined_with_their_line(tmp_path: Path) -> None:
    rows = [
        b"p/00.png,a,extra",
        b"p/01.png",
        b"p/nosuch.png,a",
        b"../outside.png,a",
        b"/etc/hostname,a",
        b",a",
        b"p/02.png,",
        b"p\0.png,a",
        b"p,a",
    ]
    path = table(tmp_path / "data", b"file,label\n" + GOOD_ROWS + b"\n".join(rows) + b"\n\n")
    dataset = run(path, input="file", target="label")
    found = {entry["line"]: entry["reason"] for entry in records(dataset)}
    assert found == {
        22: "ragged_row",
        23: "ragged_row",
        24: "missing",
        25: "outside_folder",
        26: "outside_folder",
        27: "missing_value",
        28: "missing_value",
        29: "nul",
        30: "not_a_file",
    }
    assert dataset.card["accepted"] == 20
    assert dataset.card["skip_reasons"] == {"blank_row": 1}


def test_i19_an_unclosed_quote_does_not_swallow_the_rest_unseen(tmp_path: Path) -> None:
    path = table(tmp_path / "data", b"file,label\n" + GOOD_ROWS + b'"p/00.png,a\n' + GOOD_ROWS)
    with pytest.raises(DataError, match=r"table\.csv has a quote that is never closed.* line 22") as caught:
        run(path, input="file", target="label")
    assert caught.value.exit_code == 65


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (classes(only=5), ["fewer than two classes", "'only' (5)"]),
        (classes(a=5, b=1), ["'b' (1)", "too small"]),
        (classes(a=5, b=5) | {"empty/": b""}, ["'empty'", "data.drop"]),
        (classes(Cat=5, cat=5), ["'Cat'", "'cat'", "data.merge"]),
    ],
    ids=["one class", "one sample", "empty folder", "case alone"],
)
def test_i20_classes_nothing_can_be_learnt_from(tmp_path: Path, files: dict, words: list[str]) -> None:
    data = plant(tmp_path / "data", files)
    with pytest.raises(DataError) as caught:
        run(data)
    assert caught.value.exit_code == 65
    for word in words:
        assert word in str(caught.value)


def test_i20_the_remedies_work(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(Cat=5, cat=5, dog=5, one=1))
    dataset = run(data, LENIENT.model_copy(update={"merge": {"Cat": "cat"}, "drop": ("one",)}))
    assert dataset.labels == ("cat", "dog")
    assert dataset.card["skip_reasons"] == {"dropped_class": 1}


def test_i21_copies_stay_together_and_contradictions_go(tmp_path: Path) -> None:
    same = encode(picture(500), "PNG")
    both = encode(picture(501), "PNG")
    again = encode(picture(500), "PNG", compress_level=0)
    files = {f"a/copy-{number}.png": same for number in range(6)}
    files |= {"a/other-bytes.png": again, "a/twice.png": both, "b/twice.png": both, "b/2.png": both}
    data = plant(tmp_path / "data", classes(a=20, b=20) | files)
    dataset = run(data)
    frame = dataset.frame
    copies = frame[frame["name"].str.contains("copy-|other-bytes")]
    assert len(copies) == 7
    assert copies["split"].nunique() == 1
    assert frame.groupby("sha256")["split"].nunique().max() == 1
    conflicting = [entry["path"] for entry in records(dataset) if entry["reason"] == "conflicting_labels"]
    assert sorted(conflicting) == ["a/twice.png", "b/2.png", "b/twice.png"]
    assert "near_copy" in " ".join(copies["note"])


def test_i21_the_same_content_in_two_given_splits_stays_where_it_is_measured(tmp_path: Path) -> None:
    same, other = encode(picture(502), "PNG"), encode(picture(503), "PNG")
    files = {f"train/{name}": data for name, data in classes(a=8, b=8).items()}
    for number, split in enumerate(("val", "test"), start=60):
        files |= {
            f"{split}/{label}/{n}.png": encode(picture(100 * number + 10 * n + ord(label)), "PNG")
            for label in "ab"
            for n in range(3)
        }
    files |= {"train/a/leak.png": same, "val/a/leak.png": same, "test/a/leak.png": same}
    files |= {"train/b/leak.png": other, "val/b/leak.png": other}
    dataset = run(plant(tmp_path / "data", files))
    assert {entry["path"]: entry["reason"] for entry in records(dataset)} == dict.fromkeys(
        ("train/a/leak.png", "val/a/leak.png", "train/b/leak.png"), "split_conflict"
    )
    assert dataset.card["splits"] == {"train": 16, "validation": 7, "test": 7}
    assert dataset.frame.groupby("sha256")["split"].nunique().max() == 1


def test_i25_labels_are_never_paths(tmp_path: Path) -> None:
    labels = ["../../x", "a/b", ".", "CON", "x" * 300, "<script>alert(1)</script>", "a\nb", "ok"]
    folder = tmp_path / "data"
    rows = ["file,label"]
    for number, label in enumerate(labels):
        for copy in range(4):
            name = f"{number}-{copy}.png"
            plant(folder, {name: encode(picture(700 + 10 * number + copy), "PNG")})
            quoted = label.replace('"', '""')
            rows.append(f'{name},"{quoted}"')
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
    before = {path for path in tmp_path.rglob("*") if "datasets" not in path.parts}
    dataset = run(folder / "table.csv", input="file", target="label")
    assert set(dataset.labels) == set(labels)
    assert len(set(dataset.slugs)) == len(labels)
    for slug in dataset.slugs:
        assert slug.isascii()
        assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert len(slug) <= 49
    after = {path for path in tmp_path.rglob("*") if "datasets" not in path.parts}
    assert after == before
    kept = json.loads((dataset.directory / "labels.json").read_text())
    assert [entry["label"] for entry in kept] == sorted(labels)
