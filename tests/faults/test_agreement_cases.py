"""Ingest proves that the served graph decodes as it does: what is compared, and what follows."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from features.datasets.dataset import Dataset
from features.images import agreement as image_agreement
from features.images import check as image_file
from features.ingest import agreement
from features.ingest.ingest import ingest
from features.ingest.verdicts import kinds as raw_kinds
from features.rows.rules import RowRules
from features.sounds.rules import AudioRules
from features.sources.files.candidates import Columns
from features.spec import AUDIO, RAW_KINDS, ROW, TEXT, RawKind
from features.texts.rules import TextRules
from tests.faults.corpus import PNG, at, chunk, classes, encode, good, picture, plant
from tests.faults.ingests import LENIENT, reasons, records, run

RULES = LENIENT.verdict_rules()


def outcome(dataset: Dataset) -> str:
    (one,) = [one for one in dataset.card["decisions"] if one["topic"] == "agreement"]
    return str(one["choice"])


def kinds(raw: RawKind, data: Path, rules: Any, **columns: str) -> Dataset:
    return ingest(data, raw=raw, columns=Columns(**columns), rules=rules, root=data.parent / "datasets")


def test_every_good_file_of_the_corpus_is_decoded_alike(tmp_path: Path) -> None:
    files = {f"{'ab'[number % 2]}/{number:03}": case.data for number, case in enumerate(good())}
    dataset = run(plant(tmp_path / "data", files))
    assert reasons(dataset) == {}
    assert outcome(dataset).endswith("of 5 formats decoded alike by ingest and the served graph")


def test_a_few_of_each_variant_and_every_odd_header_are_compared(tmp_path: Path) -> None:
    odd = {f"a/odd{n}.jpg": odd_jpeg(n) for n in range(7)}
    plain = {f"b/{n}.jpg": encode(picture(100 + n), "JPEG") for n in range(9)}
    progressive = {f"b/p{n}.jpg": encode(picture(200 + n), "JPEG", progressive=True) for n in range(2)}
    dataset = run(plant(tmp_path / "data", odd | plain | progressive))
    assert outcome(dataset).startswith("9 examples of 1 format ")


def odd_jpeg(number: int) -> bytes:
    data = encode(picture(number), "JPEG")
    return at(data, 0, data[:20] + b"\1\2\3" + data[20:])


def test_what_differs_is_quarantined_with_all_of_its_variant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: one level too many in what ingest makes of grey JPEGs."""
    gray = {f"a/gray{n}.jpg": encode(picture(n).convert("L"), "JPEG") for n in range(6)}
    data = plant(tmp_path / "data", classes(a=5, b=5) | gray)
    real = image_agreement._over_white

    def wrong(image: Any, step: int) -> np.ndarray:
        pixels = real(image, step)
        return pixels + 5 / 255 if image.mode == "L" else pixels

    monkeypatch.setattr(image_agreement, "_over_white", wrong)
    dataset = run(data)
    assert reasons(dataset) == dict.fromkeys((Path(name).name for name in gray), "decoders_disagree")
    assert outcome(dataset) == "6 of 9 examples are decoded differently by the served graph"
    monkeypatch.undo()
    # What was found is known by content until a check comes to judge otherwise.
    assert set(reasons(run(data)).values()) == {"decoders_disagree"}
    monkeypatch.setattr(agreement, "VERSION", agreement.VERSION + 1)
    assert reasons(run(data)) == {}


def test_a_second_ingest_compares_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = plant(tmp_path / "data", classes(a=5, b=5))
    first = run(data)
    compared: list[bytes] = []
    monkeypatch.setattr(image_agreement, "difference", lambda own, kept, rules: compared.append(own))
    again = run(data)
    assert (compared, outcome(again)) == ([], outcome(first))
    plant(data, {"b/new.jpg": encode(picture(7), "JPEG")})
    run(data)
    assert len(compared) == 1


@pytest.mark.parametrize(
    ("kind", "levels"), [("RGB", 2), ("L", 2), ("RGBA", 2)], ids=["colour", "grey", "alpha"]
)
def test_a_large_image_is_compared_on_a_grid(kind: str, levels: int) -> None:
    image = picture(3, 1500, 1100).convert(kind)
    data = encode(image, "PNG")
    assert image_agreement.difference(data, data, RULES) is None
    other = encode(image.point(lambda level: min(255, level + 9)), "PNG")
    difference = image_agreement.difference(data, other, RULES)
    assert difference is not None
    assert "of 255 levels" in difference


def test_what_the_graph_refuses_is_named_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The case of an offset into the palette, kept as it is: as if ingest rewrote nothing."""
    bitmap = encode(picture(3).quantize(8), "BMP")
    data = plant(tmp_path / "data", classes(a=5, b=5) | {"a/x.bmp": at(bitmap, 10, struct.pack("<I", 54))})
    check = image_agreement.difference
    monkeypatch.setattr(image_agreement, "difference", lambda own, kept, rules: check(own, own, rules))
    dataset = run(data)
    assert reasons(dataset) == {"x.bmp": "decoders_disagree"}
    said = "the served graph refuses it: [the BMP is not plain"
    assert records(dataset)[0]["detail"].startswith(said)


def png_with_transparent_color(kind: int, depth: int) -> bytes:
    levels = np.random.default_rng(depth).integers(0, 2**depth, (6, 8, 3 if kind == 2 else 1))
    if depth == 16:
        rows = [row.astype(">u2").tobytes() for row in levels]
    else:
        rows = [
            np.packbits(
                ((row.ravel()[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8).ravel()
            ).tobytes()
            for row in levels
        ]
    color = b"".join(struct.pack(">H", int(level)) for level in levels[2, 3])
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 6, depth, kind, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return PNG + header + chunk(b"tRNS", color) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(("kind", "depth"), [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16)])
def test_transparent_colours_of_every_depth_agree(kind: int, depth: int) -> None:
    data = png_with_transparent_color(kind, depth)
    assert image_agreement.difference(data, image_file.plain(data), RULES) is None


def test_sounds_are_compared_sample_by_sample() -> None:
    out = io.BytesIO()
    samples = np.random.default_rng(0).integers(-32768, 32767, 4000).astype(np.int16)
    soundfile.write(out, samples, 16_000, format="WAV", subtype="PCM_16")
    rules = AudioRules().verdict_rules()
    assert raw_kinds.difference(AUDIO)(out.getvalue(), out.getvalue(), rules) is None


def test_texts_and_rows_are_compared(tmp_path: Path) -> None:
    texts = {
        f"{label}/{n}.txt": f"{label} caf\u00e9 \U0001f600 {n}\r\n".encode()
        for label in "ab"
        for n in range(5)
    }
    found = kinds(TEXT, plant(tmp_path / "texts", texts), TextRules())
    assert outcome(found) == "3 examples of 1 format decoded alike by ingest and the served graph"
    lines = [f'{n / 7},"a, ""b"" {n}",NA,{"xy"[n % 2]}' for n in range(12)]
    (tmp_path / "t.csv").write_text("\n".join(["size,name,gap,label", *lines]) + "\n")
    table = kinds(ROW, tmp_path / "t.csv", RowRules(), target="label")
    assert outcome(table) == "3 examples of 1 format decoded alike by ingest and the served graph"


def test_rows_that_differ_are_named() -> None:
    rules = RowRules(columns={"size": "numeric", "name": "categorical"}).verdict_rules()
    check = raw_kinds.difference(ROW)
    assert check(b"", b'1e3," x "', rules) is None
    assert check(b"", b"NA,?", rules) is None


def test_every_raw_kind_of_examples_has_a_check() -> None:
    for kind in RAW_KINDS.values():
        if not kind.lines:
            assert callable(raw_kinds.reader(kind))
            assert callable(raw_kinds.difference(kind))
