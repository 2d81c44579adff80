"""Names in archives, as common programs write them: the labels must be the folders' names."""

import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from features.datasets.dataset import Dataset
from features.decisions import Decisions, from_card
from features.errors import DataError
from features.ingest.ingest import ingest
from features.ingest.rules import IngestRules
from features.sources.archives import ArchiveRules, unpack
from features.sources.files.candidates import Columns
from features.spec import IMAGE


def zip_of(names: dict[str, bytes], system: int = 3, extra: bytes = b"") -> bytes:
    """A zip whose names are the given bytes, without the flag that says UTF-8."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for index, name in enumerate(names.values()):
            info = zipfile.ZipInfo("pqrs"[index] * len(name))
            info.create_system, info.extra = system, extra
            packed.writestr(info, str(index).encode())
    data = out.getvalue()
    for index, name in enumerate(names.values()):
        # Once in the member's own header and once in the directory.
        data = data.replace(b"pqrs"[index : index + 1] * len(name), name, 2)
    return data


def unpacked(tmp_path: Path, data: bytes, names: str = "auto", suffix: str = "zip") -> tuple[set[str], str]:
    """The paths that an archive gives, and what was decided."""
    path = tmp_path / f"photos.{suffix}"
    path.write_bytes(data)
    decisions = Decisions()
    folder = unpack(path, tmp_path / "scratch", ArchiveRules(names=names), decisions=decisions)
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    return files, "\n".join(map(str, decisions))


def ingested(path: Path, tmp_path: Path, **rules: object) -> Dataset:
    settings = IngestRules(max_bad_fraction=1, **rules)
    found = ingest(path, raw=IMAGE, columns=Columns(), rules=settings, root=tmp_path / "datasets")
    assert isinstance(found, Dataset)
    return found


@pytest.mark.parametrize(
    ("archive", "labels"),
    [("finder.zip", {"grün", "Käse"}), ("infozip.zip", {"grün", "犬"})],
)
def test_utf8_names_without_the_flag(cases: Path, tmp_path: Path, archive: str, labels: set[str]) -> None:
    dataset = ingested(cases / "zip-utf8-names" / archive, tmp_path)
    assert set(dataset.labels) == labels
    (decision,) = [one for one in from_card(dataset.card) if one.topic == "archive"]
    assert "as UTF-8" in decision.choice
    assert not decision.warning


def test_names_in_a_code_page_are_doubted_and_can_be_named(cases: Path, tmp_path: Path) -> None:
    archive = cases / "zip-utf8-names" / "sjis.zip"
    guessed = ingested(archive, tmp_path)
    (decision,) = [one for one in from_card(guessed.card) if one.topic == "archive"]
    assert decision.warning
    assert "as cp437" in decision.choice
    assert "--set data.archive_names=" in decision.reason
    assert len(guessed.labels) == 2
    assert ingested(archive, tmp_path, archive_names="cp932").labels == ("犬", "表示")
    # The archive is known by now: what was decided is said all the same.
    assert [one.choice for one in from_card(ingested(archive, tmp_path).card) if one.topic == "archive"] == [
        decision.choice
    ]


def test_each_name_is_read_by_itself(tmp_path: Path) -> None:
    names = {"utf-8": "größe/a.jpg".encode(), "cp437": "größe/b.jpg".encode("cp437"), "ascii": b"plain/c.jpg"}
    files, said = unpacked(tmp_path, zip_of(names))
    assert files == {"größe/a.jpg", "größe/b.jpg", "plain/c.jpg"}
    assert "1 as UTF-8, 1 as cp437" in said


def test_the_unicode_path_field_wins_if_it_belongs_to_the_name(tmp_path: Path) -> None:
    raw = "größe/a.jpg".encode("cp850")
    for checksum, wanted in ((zlib.crc32(raw), "maß/a.jpg"), (1, raw.decode("cp437"))):
        field = struct.pack("<BI", 1, checksum) + "maß/a.jpg".encode()
        extra = struct.pack("<HH", 0x7075, len(field)) + field
        files, said = unpacked(tmp_path, zip_of({"": raw}, extra=extra))
        assert files == {wanted}
        assert ("cp437" in said) is (checksum == 1)


def test_a_declared_name_needs_no_decision(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("犬/a.jpg", b"x")
    assert unpacked(tmp_path, out.getvalue(), names="cp1252") == ({"犬/a.jpg"}, "")


@pytest.mark.parametrize(
    ("name", "encoding", "wanted"),
    [
        ("表\\a.jpg".encode("cp932"), "cp932", "表/a.jpg"),
        ("表/a.jpg".encode("cp932"), "cp932", "表/a.jpg"),
        (b"plain\\a.jpg", "auto", "plain/a.jpg"),
        ("größe\\a.jpg".encode("cp437"), "auto", "größe/a.jpg"),
        ("größe\\a.jpg".encode(), "auto", "größe/a.jpg"),
        ("表/a.jpg".encode("cp932"), "auto", "ò\\/a.jpg"),
    ],
)
def test_a_backslash_is_a_separator_or_half_a_character(
    tmp_path: Path, name: bytes, encoding: str, wanted: str
) -> None:
    assert unpacked(tmp_path, zip_of({"": name}, system=0), encoding)[0] == {wanted}


def test_names_that_lead_out_are_refused_in_every_encoding(tmp_path: Path) -> None:
    for name, encoding in (("ü/../../evil".encode(), "auto"), ("ü\\..\\..\\evil".encode("cp850"), "cp850")):
        with pytest.raises(DataError, match="leads out"):
            unpacked(tmp_path, zip_of({"": name}, system=0), encoding)


def test_a_tar_in_a_code_page(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT, encoding="cp1252") as packed:
        info = tarfile.TarInfo("größe/a.jpg")
        packed.addfile(info, io.BytesIO())
    files, said = unpacked(tmp_path, out.getvalue(), suffix="tar")
    assert "1 as undecodable" in said
    assert "größe/a.jpg" not in files
    assert unpacked(tmp_path, out.getvalue(), "cp1252", "tar")[0] == {"größe/a.jpg"}


def test_an_encoding_that_does_not_fit_or_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.archive_names.*expected gbk"):
        unpacked(tmp_path, zip_of({"": b"\x81\xff.jpg"}), "gbk")
    with pytest.raises(ValueError, match="an encoding that Python knows"):
        IngestRules(archive_names="klingon")
