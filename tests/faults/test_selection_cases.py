"""Files that were skipped without a word: misnamed ones, and those behind symbolic links."""

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from features.datasets.dataset import Dataset
from features.errors import DataError
from features.ingest.ingest import ingest
from features.ingest.rules import IngestRules
from features.sounds.rules import AudioRules
from features.sources.files.candidates import Columns
from features.spec import AUDIO, TEXT
from features.texts.rules import TextRules
from tests.faults.corpus import classes, encode, picture, plant
from tests.faults.ingests import LENIENT, notes, reasons, run

FOLLOW = LENIENT.model_copy(update={"follow_symlinks": True})


def decision(dataset: Dataset, topic: str) -> list[tuple[str, str]]:
    return [(one["name"], one["choice"]) for one in dataset.card["decisions"] if one["topic"] == topic]


# -- images-skipped: iphone.zip -------------------------------------------------------------------


def test_photos_of_a_phone_count_against_the_limit_with_the_way_out(cases: Path, tmp_path: Path) -> None:
    photos = shutil.copy(cases / "images-skipped/iphone.zip", tmp_path)
    with pytest.raises(DataError) as caught:
        run(Path(photos), IngestRules())
    for words in (
        "8 of 48 examples of",
        ".heic (unsupported_format: the content is HEIC;",
        "magick",
        "and 7 more",
    ):
        assert words in str(caught.value)
    assert caught.value.exit_code == 65


def test_jpegs_named_heic_are_read(cases: Path, tmp_path: Path) -> None:
    photos = shutil.copy(cases / "images-skipped/iphone.zip", tmp_path)
    dataset = run(Path(photos), IngestRules(max_bad_fraction=0.2))
    assert {label: sum(counts.values()) for label, counts in dataset.card["classes"].items()} == {
        "round": 20,
        "square": 20,
    }
    assert dataset.card["formats"] == {"JPEG": 40}
    assert set(reasons(dataset)) == {f"IMG_006{n}.heic" for n in range(4)}
    assert set(reasons(dataset).values()) == {"unsupported_format"}
    assert dataset.card["notes"] == {"extension_mismatch": 16}
    assert decision(dataset, "files") == [(".heic", "16 read as JPEG")]


def test_the_content_decides_whatever_the_ending(tmp_path: Path) -> None:
    jpeg = {
        f"a/{name}": encode(picture(number), "JPEG")
        for number, name in enumerate(
            ("x.jpg_large", "IMG.JPG.1", "none", "scan.tif", "t.thm", "odd.txt", "p.HEIC")
        )
    }
    others = {
        "b/x.bin": encode(picture(20), "PNG"),
        "b/y.dat": encode(picture(21), "WEBP"),
        "b/z.backup": encode(picture(22), "GIF"),
        "b/w.xyz": encode(picture(23), "BMP"),
    }
    dataset = run(plant(tmp_path / "data", classes(a=4, b=4) | jpeg | others))
    assert dataset.card["accepted"] == 19
    found = notes(dataset)
    assert {Path(name).name for name in jpeg | others} <= set(found)
    assert {name for name, said in found.items() if said} == {"scan.tif", "p.HEIC"}


def test_pictures_of_other_formats_are_quarantined_by_name(tmp_path: Path) -> None:
    contents = {
        "tiff": encode(picture(1), "TIFF"),
        "avif": b"\0\0\0\x18ftypavif" + bytes(60),
        "heic": b"\0\0\0\x18ftypheix" + bytes(60),
        "cr3": b"\0\0\0\x18ftypcrx " + bytes(60),
        "jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),
        "ppm": encode(picture(2), "PPM"),
    }
    named = {f"a/right.{name}": data for name, data in contents.items()}
    unnamed = {f"b/{name}.unknown": data for name, data in contents.items()}
    dataset = run(plant(tmp_path / "data", classes(a=4, b=4) | named | unnamed))
    assert reasons(dataset) == dict.fromkeys(
        (Path(name).name for name in named | unnamed), "unsupported_format"
    )


def test_other_files_stay_skips_with_their_endings(tmp_path: Path) -> None:
    beside = {
        "notes.txt": b"P1 is how this note begins",
        "labels.json": b"{}",
        "meta.xml": b"<?xml version='1.0'?><x/>",
        "live.mov": b"\0\0\0\x14ftypqt  " + bytes(60),
        "IMG_1.AAE": b"<?xml version='1.0'?><plist/>",
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "scan.pdf": b"%PDF-1.7",
        "table.csv": b"a,b\n1,2\n",
    }
    files = {f"a/{name}": data for name, data in beside.items()} | {"a/Thumbs.db": b"x", "b/.DS_Store": b"x"}
    # Under the strict limit: none of them looks like an example.
    dataset = run(plant(tmp_path / "data", classes(a=4, b=4) | files), IngestRules())
    assert dataset.card["skip_reasons"] == {"hidden": 1, "system_file": 1, "unsupported_extension": 8}
    assert dataset.card["skipped_endings"] == {Path(name).suffix.lower(): 1 for name in beside}


def test_an_image_ending_without_an_image_is_quarantined(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(a=4, b=4) | {"a/x.heic": b"not found", "b/y.tif": b""})
    assert reasons(run(data)) == {"x.heic": "not_an_image", "y.tif": "empty"}


def test_images_beside_the_class_folders_count_against_the_limit(tmp_path: Path) -> None:
    loose = {f"{n}.heic": encode(picture(50 + n), "JPEG") for n in range(3)}
    data = plant(tmp_path / "data", classes(a=10, b=10) | loose | {"README.md": b"about", "LICENSE": b"free"})
    with pytest.raises(
        DataError,
        match=r"3 of 23 examples .*: 3 skipped files \.heic \(outside_class_folder\).*[Mm]ove the files",
    ):
        run(data, IngestRules())
    assert run(data, IngestRules(max_bad_fraction=0.2)).card["skip_reasons"] == {
        "outside_class_folder": 4,
        "unsupported_extension": 1,
    }


def test_a_table_names_files_of_any_ending(tmp_path: Path) -> None:
    files = {f"p/{n}": encode(picture(n), "JPEG") for n in range(8)}
    files |= {f"p/{n}.JPG_": encode(picture(20 + n), "JPEG") for n in range(8)} | {"p/t.log": b"text"}
    names = [*files]
    rows = "".join(f"{name},{'ab'[number % 2]}\n" for number, name in enumerate(names))
    plant(tmp_path / "data", files | {"t.csv": f"path,label\n{rows}".encode()})
    dataset = run(tmp_path / "data/t.csv")
    assert dataset.card["accepted"] == 16
    assert dataset.card["skipped_endings"] == {".log": 1}


# -- other raw kinds ------------------------------------------------------------------------------


def tone(hertz: float) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, 0.3 * np.sin(hertz * np.arange(4000) / 2500), 16_000, format="WAV")
    return out.getvalue()


def test_sounds_are_told_by_content_too(tmp_path: Path) -> None:
    files = {f"{label}/{n}.wav": tone(100 * n + ord(label)) for label in "ab" for n in range(1, 6)}
    files |= {
        "a/x.dat": tone(77),
        "b/y.snd1": tone(78),
        "a/notes.txt": b"x",
        "b/live.mov": b"\0\0\0\x14ftypqt  ",
    }
    dataset = ingest(
        plant(tmp_path / "data", files),
        raw=AUDIO,
        columns=Columns(),
        rules=AudioRules(),
        root=tmp_path / "root",
    )
    assert (dataset.card["accepted"], dataset.card["skipped_endings"]) == (12, {".mov": 1, ".txt": 1})
    assert decision(dataset, "agreement")[0][1].endswith("decoded alike by ingest and the served graph")


def test_texts_of_kindred_endings_count_against_the_limit(tmp_path: Path) -> None:
    files = {f"{label}/{n}.txt": f"{label} {n}".encode() for label in "ab" for n in range(10)}
    files |= {f"a/{n}.md": b"# text" for n in range(2)} | {"b/x.json": b"{}", "README.md": b"about"}
    data = plant(tmp_path / "data", files)

    def read(**rules: float) -> Dataset:
        return ingest(data, raw=TEXT, columns=Columns(), rules=TextRules(**rules), root=tmp_path / "root")

    with pytest.raises(
        DataError, match=r"2 of 22 examples .*: 2 skipped files \.md \(unsupported_extension\).*[Rr]ename"
    ):
        read()
    assert read(max_bad_fraction=0.2).card["skipped_endings"] == {".json": 1, ".md": 3}


# -- images-skipped: symlinks ---------------------------------------------------------------------


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """Two class folders with other pictures than those of `classes(a=..., b=...)`."""
    return plant(tmp_path / "real", classes(a=0, b=0, ants=6, bees=6))


def linked(folder: Path, *targets: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for target in targets:
        (folder / target.name).symlink_to(target)
    return folder


def test_a_folder_of_links_alone_names_them_and_the_option(real: Path, tmp_path: Path) -> None:
    links = linked(tmp_path / "links", *real.iterdir())
    with pytest.raises(DataError, match=r"but 2 symbolic links; .*--set data\.follow_symlinks=true"):
        run(links)
    dataset = run(links, FOLLOW)
    assert dataset.card["classes"] == run(real).card["classes"]
    assert decision(dataset, "links") == [("", "12 files read through symbolic links")]
    assert dataset.verify() == []
    assert set(dataset.frame["name"]) == {
        f"{label}/{n:03}.png" for label in ("ants", "bees") for n in range(6)
    }


def test_class_folders_of_links_stop_with_the_option(real: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    for label in ("ants", "bees"):
        linked(links / label, *(real / label).iterdir())
    with pytest.raises(
        DataError,
        match=r"12 of 12 examples .*: 12 skipped files \.png \(symlink\).*data\.follow_symlinks=true",
    ):
        run(links, IngestRules())
    with pytest.raises(DataError, match=r"not used: symlink 12.*Follow symbolic links with"):
        run(links)
    assert run(links, FOLLOW).card["accepted"] == 12


def test_links_that_are_not_followed_are_named(real: Path, tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(ants=30, bees=30))
    (data / "ants/more.png").symlink_to(real / "ants/000.png")
    dataset = run(data, IngestRules())
    assert dataset.card["skip_reasons"] == {"symlink": 1}
    (one,) = [one for one in dataset.card["decisions"] if one["topic"] == "links"]
    assert (one["choice"], one["warning"]) == ("1 symbolic link not followed", True)
    assert "data.follow_symlinks=true" in one["reason"]


def test_loops_broken_links_and_second_ways_to_a_file(real: Path, tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(a=5, b=5))
    (data / "a/up").symlink_to(data)
    (data / "a/self").symlink_to("self")
    (data / "a/gone.png").symlink_to(tmp_path / "gone.png")
    (data / "a/same.png").symlink_to("000.png")
    (data / "a/more").symlink_to(real / "ants")
    (data / "a/once.more").symlink_to(real / "ants")
    (data / "a/pipe.png").symlink_to(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe")
    (data / "a/photo").symlink_to(real / "bees/000.png")
    dataset = run(data, FOLLOW)
    assert dataset.card["accepted"] == 10 + 6 + 1
    assert dataset.card["skip_reasons"] == {"linked_twice": 2, "special_file": 1, "symlink_loop": 1}
    assert reasons(dataset) == {"self": "missing", "gone.png": "missing"}


def test_a_file_linked_under_two_labels_is_in_conflict(real: Path, tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(a=5, b=5))
    for label in "ab":
        (data / label / "x.png").symlink_to(real / "ants/000.png")
    assert reasons(run(data, FOLLOW)) == {"x.png": "conflicting_labels"}


def test_a_table_reads_through_links_where_it_may(real: Path, tmp_path: Path) -> None:
    data = linked(tmp_path / "data", real / "ants", *(real / "bees").iterdir())
    rows = [f"ants/{n:03}.png,ants" for n in range(6)] + [f"{n:03}.png,bees" for n in range(6)]
    (data / "t.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    with pytest.raises(DataError, match=r"12 of 12 examples .*: 12 skipped files \.png \(symlink\)"):
        run(data / "t.csv", IngestRules())
    assert run(data / "t.csv", FOLLOW).card["accepted"] == 12


def test_links_in_an_archive_are_never_followed(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(a=5, b=5))
    (data / "a/x.png").symlink_to("../b/000.png")
    packed = shutil.make_archive(str(tmp_path / "packed"), "tar", data)
    dataset = run(Path(packed), FOLLOW)
    assert (dataset.card["accepted"], dataset.card["skip_reasons"]) == (10, {"symlink": 1})


def test_a_quarantined_link_is_listed_by_its_own_name(real: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.png").write_bytes(b"no picture")
    data = linked(tmp_path / "data", *real.iterdir())
    (real / "ants/bad.png").symlink_to(tmp_path / "elsewhere.png")
    assert reasons(run(data, FOLLOW)) == {"bad.png": "not_an_image"}
    with Image.open(real / "ants/000.png") as image:
        assert image.size == (8, 8)
