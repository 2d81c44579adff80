"""Which layout is recognised, what each source yields, and what is refused as ambiguous."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from features.errors import AccessError, NoInputError
from features.sources.files.candidates import Candidate
from tests.faults.corpus import classes, plant
from tests.features.sources.opened import JPEG, candidates, open_source, refusal, skipped


def test_class_folders(tmp_path: Path) -> None:
    plant(tmp_path / "data", classes(ants=2, bees=1))
    source = open_source(tmp_path / "data")
    assert source.layout == "class-folders"
    assert source.classes == ("ants", "bees")
    assert candidates(source) == [
        ("ants/000.png", "ants", None),
        ("ants/001.png", "ants", None),
        ("bees/000.png", "bees", None),
    ]
    paths = {entry.path for entry in source if isinstance(entry, Candidate)}
    assert os.fsencode(tmp_path / "data/ants/001.png") in paths


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("train", "val", "test"), {"train", "validation", "test"}),
        (("Training", "VALID", "testing"), {"train", "validation", "test"}),
        (("train", "dev"), {"train", "validation"}),
        (("train", "validation"), {"train", "validation"}),
        (("train",), {"train"}),
    ],
)
def test_split_folders(tmp_path: Path, names: tuple[str, ...], expected: set[str]) -> None:
    for name in names:
        plant(tmp_path / "data" / name, classes(ants=1, bees=1))
    source = open_source(tmp_path / "data")
    assert source.layout == "split-folders"
    assert set(source.splits) == expected
    assert {split for _, _, split in candidates(source)} == expected
    assert {label for _, label, _ in candidates(source)} == {"ants", "bees"}


def test_folders_that_only_wrap_another_are_stepped_into(tmp_path: Path) -> None:
    plant(tmp_path / "data", {"README.md": b"about", "outer/inner/LICENSE": b"free"})
    plant(tmp_path / "data/outer/inner/train", classes(ants=1, bees=1))
    source = open_source(tmp_path / "data")
    assert source.layout == "split-folders"
    assert candidates(source)[0] == ("outer/inner/train/ants/000.png", "ants", "train")
    assert skipped(source) == [
        ("README.md", "unsupported_extension"),
        ("outer/inner/LICENSE", "outside_class_folder"),
    ]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    plant(tmp_path / "data", classes(train=1, plane=1, bus=1))
    source = open_source(tmp_path / "data")
    assert source.layout == "class-folders"
    assert source.classes == ("bus", "plane", "train")


def test_folders_below_a_class_belong_to_it(tmp_path: Path) -> None:
    plant(tmp_path / "data", {"ants/red/old/a.jpg": JPEG, "ants/b.jpg": JPEG, "bees/c.jpg": JPEG})
    assert candidates(open_source(tmp_path / "data")) == [
        ("ants/b.jpg", "ants", None),
        ("ants/red/old/a.jpg", "ants", None),
        ("bees/c.jpg", "bees", None),
    ]


def test_what_is_passed_over_is_named_with_its_reason(tmp_path: Path) -> None:
    data = plant(
        tmp_path / "data",
        classes(ants=1, bees=1)
        | {
            "photo.jpg": JPEG,
            "notes.txt": b"x",
            "ants/.DS_Store": b"x",
            "ants/Thumbs.db": b"x",
            "ants/scan.log": b"x",
            "ants/noext": JPEG,
            "__MACOSX/ants/._a.jpg": b"x",
            ".git/config": b"x",
        },
    )
    (data / "ants/link.jpg").symlink_to(data / "bees/000.png")
    (data / "linked").symlink_to(data / "bees")
    os.mkfifo(data / "bees/pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(data / "bees/socket.jpg"))
        source = open_source(data)
        assert skipped(source) == [
            (".git", "hidden"),
            ("__MACOSX", "system_file"),
            ("ants/.DS_Store", "hidden"),
            ("ants/Thumbs.db", "system_file"),
            ("ants/link.jpg", "symlink"),
            ("ants/scan.log", "unsupported_extension"),
            ("bees/pipe.jpg", "special_file"),
            ("bees/socket.jpg", "special_file"),
            ("linked", "symlink"),
            ("notes.txt", "unsupported_extension"),
            ("photo.jpg", "outside_class_folder"),
        ]
    assert ("ants/noext", "ants", None) in candidates(source)
    assert source.classes == ("ants", "bees")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {"train/a/1.jpg": JPEG, "train/b/1.jpg": JPEG, "extra/1.jpg": JPEG},
            ["ambiguous", "train/", "extra/"],
        ),
        ({"train/a/1.jpg": JPEG, "test/1.jpg": JPEG}, ["ambiguous", "train/", "test/"]),
        ({"train/1.jpg": JPEG, "test/1.jpg": JPEG}, ["without class folders", "train/<class>/<file>"]),
        ({"val/a/1.jpg": JPEG, "test/a/1.jpg": JPEG}, ["no training split", "test/, val/"]),
        ({"val/a/1.jpg": JPEG, "valid/a/1.jpg": JPEG, "train/a/1.jpg": JPEG}, ["two folders for one split"]),
        ({"1.jpg": JPEG, "2.jpg": JPEG}, ["not a source", "2 x .jpg", "one folder for each class"]),
        ({"photos.zip": b"PK"}, ["not a source", "1 x .zip", "--data", "photos.zip"]),
        ({"list.csv": b"a,b\n1,2\n"}, ["not a source", "1 x .csv", "--input-column"]),
    ],
)
def test_other_layouts_are_refused_with_what_was_found(tmp_path: Path, files: dict, words: list[str]) -> None:
    message = refusal(plant(tmp_path / "data", files))
    for word in words:
        assert word in message


def test_class_folders_beside_a_table_are_ambiguous(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(ants=1, bees=1) | {"meta.csv": b"path,label\nants/000.png,x\n"})
    message = refusal(data)
    assert "ambiguous" in message
    assert "meta.csv" in message
    assert "2 class folders" in message
    assert open_source(data, input="path", target="label").layout == "table"
    assert open_source(data / "meta.csv").layout == "table"


def test_a_table_of_other_columns_beside_class_folders_is_passed_over(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(ants=1, bees=1) | {"meta.csv": b"camera,date\nx,y\n"})
    source = open_source(data)
    assert source.layout == "class-folders"
    assert skipped(source) == [("meta.csv", "unsupported_extension")]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="does not exist") as caught:
        open_source(tmp_path / "nowhere")
    assert caught.value.exit_code == 66


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    plant(tmp_path, {"photo.jpg": JPEG})
    assert "a file .jpg" in refusal(tmp_path / "photo.jpg")


def test_a_root_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests may run as root, whom no mode stops.
    def denied(path: bytes) -> None:
        raise PermissionError(13, "Permission denied", path)

    (tmp_path / "data").mkdir()
    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(AccessError) as caught:
        open_source(tmp_path / "data")
    assert caught.value.exit_code == 77


def test_a_source_named_by_a_link_is_followed_once(tmp_path: Path) -> None:
    plant(tmp_path / "data", classes(ants=1, bees=1))
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert len(candidates(open_source(tmp_path / "link"))) == 2


def test_a_chain_of_folders_too_deep_for_any_path_ends(tmp_path: Path) -> None:
    """I22: 3,000 folders that each only wrap the next."""
    data = tmp_path / "data"
    data.mkdir()
    handle = os.open(data, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=handle)
        below = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(handle)
    try:
        assert [reason for _, reason in skipped(open_source(data))] == ["too_deep"]
    finally:
        subprocess.run(["rm", "-rf", data], check=True, timeout=60)


def test_a_source_that_is_a_link_to_itself_or_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_bytes(b"")
    for place in ("loop", "file/below"):
        with pytest.raises(NoInputError, match=place.split("/")[0]):
            open_source(tmp_path / place)


def test_an_archive_of_class_folders(tmp_path: Path) -> None:
    plant(tmp_path / "data/photos", classes(ants=2, bees=2))
    shutil.make_archive(str(tmp_path / "photos"), "gztar", tmp_path / "data")
    source = open_source(tmp_path / "photos.tar.gz", scratch=tmp_path / "scratch")
    assert source.layout == "class-folders"
    assert candidates(source)[0] == ("photos/ants/000.png", "ants", None)
    assert "photos.tar.gz" in source.description
