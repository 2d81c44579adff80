"""Fault cases of ingest (I1 to I28, O9), on files made from code and through the public calls."""

import base64
import io
import json
import os
import random
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from features import validation
from features.dataset import Dataset, IngestRules, ingest, load
from features.decoders import DecoderPool, Job
from features.errors import AccessError, DataError, NoInputError, ServableError, TemporaryError
from features.facts import Facts
from features.locks import exclusive
from features.sources import Columns
from features.spec import IMAGE
from tests.conftest import ROOT
from tests.faults.corpus import Case, classes, encode, good, hostile, mutated, picture, plant

LENIENT = IngestRules(max_bad_fraction=1.0)


def run(data: Path, rules: IngestRules = LENIENT, **columns: str) -> Dataset:
    """Ingest into a folder beside the data; the law of conservation holds in every run."""
    dataset = ingest(data, raw=IMAGE, columns=Columns(**columns), rules=rules, root=data.parent / "datasets")
    card = dataset.card
    assert card["found"] == card["accepted"] + card["quarantined"] + card["skipped"]
    assert len(dataset.frame) == card["accepted"]
    assert len(records(dataset)) == card["quarantined"]
    return dataset


def records(dataset: Dataset) -> list[dict[str, Any]]:
    return [json.loads(line) for line in dataset.quarantine.read_text("utf-8").splitlines()]


def reasons(dataset: Dataset) -> dict[str, str]:
    """File name to reason."""
    return {Path(entry["path"]).name: entry["reason"] for entry in records(dataset)}


def notes(dataset: Dataset) -> dict[str, set[str]]:
    """File name to its notes."""
    frame = dataset.frame
    return {
        Path(name).name: set(note.split("; ")) if note else set()
        for name, note in zip(frame["name"], frame["note"], strict=True)
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, list[Case], list[Case]]:
    """Every hostile and every good file of the corpus, among plain ones, ingested once."""
    bad, fine = hostile(), good()
    files: dict[str | bytes, bytes] = {f"a/{case.name}": case.data for case in [*bad, *fine]}
    data = plant(tmp_path_factory.mktemp("corpus") / "data", classes(a=6, b=6) | files)
    return run(data), bad, fine


def test_g1_every_hostile_file_gets_its_one_right_reason(corpus: tuple) -> None:
    """I1, I2, I8 and the rest: at least 60 files."""
    dataset, bad, _ = corpus
    assert len(bad) >= 60
    expected = {case.name: case.reason for case in bad if "." in case.name}
    found = reasons(dataset)
    assert {name: found.get(name) for name in expected} == expected


def test_g1_no_good_file_is_lost(corpus: tuple) -> None:
    """I3, I4, I6, I7 and the rest."""
    dataset, _, fine = corpus
    accepted = notes(dataset)
    assert {case.name for case in fine} <= set(accepted)
    for case in fine:
        assert set(case.notes) <= accepted[case.name], case.name


def test_i1_i2_reasons_by_name(corpus: tuple) -> None:
    found = reasons(corpus[0])
    cut = {name for name, reason in found.items() if reason == "truncated"}
    for ending in ("jpg", "png", "webp"):
        assert {f"half.{ending}", f"98percent.{ending}", f"two-bytes.{ending}"} <= cut
    assert found["empty.jpg"] == "empty"


def test_quarantine_records_have_every_field(corpus: tuple) -> None:
    for entry in records(corpus[0]):
        assert set(entry) >= {"path", "path_b64", "sha256", "bytes", "stage", "reason", "detail"}
        assert os.fsencode(entry["path"]) == base64.b64decode(entry["path_b64"])
        assert entry["stage"] == "ingest.image"
        assert entry["detail"]
        content = (corpus[0].directory.parent.parent / "data" / entry["path"]).stat()
        assert entry["bytes"] in (content.st_size, None)


def test_i3_extensions_do_not_matter(tmp_path: Path) -> None:
    """The same pixels under a right and a wrong ending: content wins, the copy is noted."""
    data = plant(
        tmp_path / "data",
        classes(a=5, b=5)
        | {"a/x.png": encode(picture(1), "PNG"), "a/Y.JPEG": encode(picture(1), "PNG")}
        | {"b/none": encode(picture(2), "JPEG")},
    )
    dataset = run(data)
    assert "extension_mismatch" in notes(dataset)["Y.JPEG"]
    assert "extension_mismatch" not in notes(dataset)["x.png"]
    assert dataset.card["notes"]["extension_mismatch"] == 1
    assert "none" in notes(dataset)


def test_i6_animations_can_be_refused(tmp_path: Path) -> None:
    frames = {"save_all": True, "append_images": [picture(8), picture(9)]}
    animated = {
        f"a/film.{kind.lower()}": encode(picture(7), kind, **frames) for kind in ("GIF", "PNG", "WEBP")
    }
    data = plant(tmp_path / "data", classes(a=5, b=5) | animated)
    names = {Path(name).name for name in animated}
    assert all("first_frame" in notes(run(data))[name] for name in names)
    strict = run(data, LENIENT.model_copy(update={"animated": "reject"}))
    assert {name for name, reason in reasons(strict).items() if reason == "animated"} == names


def test_i8_bombs_take_no_memory(tmp_path: Path) -> None:
    """In a child whose peak memory is measured: this process and its decoders."""
    bombs = {f"a/{case.name}": case.data for case in hostile() if case.reason == "too_large"}
    assert len(bombs) >= 8
    plain = plant(tmp_path / "plain" / "data", classes(a=5, b=5))
    bombed = plant(tmp_path / "bombed" / "data", classes(a=5, b=5) | bombs)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from features.dataset import IngestRules, ingest\n"
        "from features.sources import Columns\nfrom features.spec import IMAGE\n"
        "data = Path(sys.argv[1])\n"
        "found = ingest(data, raw=IMAGE, columns=Columns(), rules=IngestRules(max_bad_fraction=1),"
        " root=data.parent / 'datasets')\n"
        "peak = [resource.getrusage(who).ru_maxrss"
        " for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]\n"
        "print(found.card['quarantined'], *peak)"
    )

    def peaks(data: Path) -> list[int]:
        done = subprocess.run(
            [sys.executable, "-c", code, data],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return [int(number) for number in done.stdout.split()]

    before, after = peaks(plain), peaks(bombed)
    assert after[0] == len(bombs)
    for low, high in zip(before[1:], after[1:], strict=True):
        assert high - low < 50 * 1024


def test_i9_one_flipped_byte_is_found_by_verify(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(a=5, b=5) | {"a/x.jpg": encode(picture(3), "JPEG")})
    dataset = run(data)
    assert dataset.verify() == []
    content = bytearray((data / "a/x.jpg").read_bytes())
    content[len(content) // 2] ^= 1
    (data / "a/x.jpg").write_bytes(content)
    (data / "b/000.png").unlink()
    damage = {Path(entry["path"]).name: entry["reason"] for entry in dataset.verify()}
    assert damage == {"x.jpg": "hash_mismatch", "000.png": "vanished"}
    row = dataset.frame[dataset.frame["name"].str.endswith("x.jpg")].iloc[0]
    with pytest.raises(DataError, match=r"x\.jpg is no longer what was ingested"):
        dataset.read(row)


def test_i10_unsupported_types_are_skipped_by_rule_and_never_opened(tmp_path: Path) -> None:
    data = plant(
        tmp_path / "data",
        classes(a=5, b=5)
        | {f"a/{name}": b"%!PS" for name in ("p.eps", "q.eps", "r.svg", "s.heic", "t.pdf", "u.tif")}
        | {"a/.hidden.png": b"x", "a/Thumbs.db": b"x"},
    )
    (data / "a/p.eps").chmod(0)
    dataset = run(data)
    assert dataset.card["skipped_endings"] == {".eps": 2, ".svg": 1, ".heic": 1, ".pdf": 1, ".tif": 1}
    skips = dataset.card["skip_reasons"]
    assert skips == {"unsupported_extension": 6, "hidden": 1, "system_file": 1}
    assert dataset.card["quarantined"] == 0


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


def test_i22_links_and_special_files_are_never_opened(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(a=5, b=5))
    (data / "a/loop").symlink_to(data)
    (data / "a/passwd.png").symlink_to("/etc/passwd")
    os.mkfifo(data / "a/pipe.png")
    deep = "/".join(["d"] * 60)
    plant(data / "b", {f"{deep}/x.png": encode(picture(77), "PNG")})
    worker = threading.Thread(target=lambda: outcome.append(run(data)), daemon=True)
    outcome: list[Dataset] = []
    worker.start()
    worker.join(60)
    assert outcome, "a FIFO was waited for"
    card = outcome[0].card
    assert card["accepted"] == 10
    assert card["skip_reasons"] == {"symlink": 2, "special_file": 1, "too_deep": 1}


def test_i23_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions mean nothing to root, as whom tests may run: the call itself refuses."""
    path = plant(tmp_path / "data", classes(a=5, b=5)) / "a" / "000.png"
    real = os.open

    def denied(name: Any, *arguments: Any, **options: Any) -> int:
        if os.fsencode(name) == os.fsencode(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(name, *arguments, **options)

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(validation.RefusedError) as caught:
        validation.read_file(os.fsencode(path), 1 << 20)
    assert caught.value.reason == "unreadable"


def test_i23_a_root_that_cannot_be_read_exits_77(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = plant(tmp_path / "data", classes(a=5, b=5))
    real = os.scandir

    def denied(name: Any) -> Any:
        if os.fsencode(name).rstrip(b"/") == os.fsencode(data):
            raise PermissionError(13, "Permission denied", str(data))
        return real(name)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(AccessError) as caught:
        run(data)
    assert caught.value.exit_code == 77
    assert str(data) in str(caught.value)


def test_i23_files_that_vanish_or_grow_while_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.png"
    with pytest.raises(validation.RefusedError) as caught:
        validation.read_file(os.fsencode(path), 1 << 20)
    assert caught.value.reason == "vanished"
    path.write_bytes(bytes(1000))
    real = os.read

    def grows(descriptor: int, count: int) -> bytes:
        with path.open("ab") as file:
            file.write(b"more")
        return real(descriptor, count)

    monkeypatch.setattr(os, "read", grows)
    with pytest.raises(validation.RefusedError) as caught:
        validation.read_file(os.fsencode(path), 1 << 20)
    assert caught.value.reason == "changed"


def test_i23_no_such_source(tmp_path: Path) -> None:
    with pytest.raises(NoInputError) as caught:
        run(tmp_path / "nosuch")
    assert caught.value.exit_code == 66


def test_i24_file_names_of_every_kind(tmp_path: Path) -> None:
    names = [
        b"byte-\xff.png",
        b"new\nline.png",
        "bidi-\u202egnp.png".encode(),
        "caf\u00e9.png".encode(),
        "cafe\u0301.png".encode(),
        b"-rf.png",
        b"n" * 251 + b".png",
        b"quote\"'.png",
    ]
    files = {b"a/" + name: encode(picture(600 + number), "PNG") for number, name in enumerate(names)}
    data = plant(tmp_path / "data", classes(a=5, b=5) | files | {b"b/bad-\xfe.png": b"no"})
    dataset = run(data)
    assert dataset.card["accepted"] == 10 + len(names)
    paths = set(dataset.frame["path"])
    for name in names:
        assert os.fsencode(data) + b"/a/" + name in paths
    for row in dataset.frame.itertuples():
        assert dataset.read(row)
        assert row.name.isprintable()
    (bad,) = records(dataset)
    assert base64.b64decode(bad["path_b64"]) == b"b/bad-\xfe.png"
    bad["path"].encode("utf-8")


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


def test_i28_a_second_ingest_of_the_same_source_stops_at_once(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "x.lock"
    code = (
        "import sys, time; from pathlib import Path; from features.locks import exclusive\n"
        "with exclusive(Path(sys.argv[1]), 'ingest of photos'): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, lock], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TemporaryError) as caught, exclusive(lock, "ingest of photos"):
            pass
        assert caught.value.exit_code == 75
        assert str(holder.pid) in str(caught.value)
        holder.kill()
        holder.wait()
        with exclusive(lock, "ingest of photos"):
            pass


def crash_on_three(data: bytes, suffix: str, rules: Any) -> Facts:
    """A reader that dies natively on one content and never ends on another."""
    if data == b"abort":
        os.abort()
    if data == b"sleep":
        while True:
            time.sleep(1)
    if data == b"memory":
        bytearray(1 << 34)
    return Facts(format="X", identity=data.decode(), measures={})


def test_o9_a_decoder_that_dies_costs_one_file() -> None:
    rules = {"max_file_bytes": 1 << 20, "memory": 256 << 20, "timeout": 1.0}
    contents = [b"one", b"abort", b"two", b"sleep", b"memory", b"three"]
    with DecoderPool(crash_on_three, rules, workers=2) as pool:
        verdicts = dict(pool.examine([Job(content=content) for content in contents]))
    found = {contents[place]: verdict.reason for place, verdict in verdicts.items()}
    assert found == {
        b"one": None,
        b"abort": "crashed_decoder",
        b"two": None,
        b"sleep": "decode_timeout",
        b"memory": "too_large",
        b"three": None,
    }


def test_g1_random_damage_is_accepted_decodable_or_quarantined(tmp_path: Path) -> None:
    """Every accepted one decodes fully in a plain Pillow loop."""
    noise = random.Random(0)
    fine = [case for case in good() if "." in case.name]
    files: dict[str | bytes, bytes] = {}
    for number in range(400):
        case = fine[number % len(fine)]
        files[f"a/{number:03}-{case.name}"] = mutated(case.data, noise)
    data = plant(tmp_path / "data", classes(a=5, b=5) | files)
    dataset = run(data)
    assert Counter(reasons(dataset).values()).get("internal_error", 0) == 0
    for row in dataset.frame.itertuples():
        with Image.open(io.BytesIO(dataset.read(row))) as image:
            image.load()


def test_too_many_bad_files_stop_and_leave_a_list(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(a=20, b=20) | {f"a/bad-{n}.png": b"\0%d" % n for n in range(3)})
    with pytest.raises(DataError, match=r"3 of 43 .* at most 5\.0%") as caught:
        run(data, IngestRules())
    assert caught.value.exit_code == 65
    (listed,) = (tmp_path / "datasets").rglob("quarantine.jsonl")
    assert str(listed) in str(caught.value)
    assert len(listed.read_text().splitlines()) == 3
    assert run(data, IngestRules(max_bad_fraction=0.07)).card["quarantined"] == 3


def test_a_full_disk_is_named_and_what_was_decoded_stays_known(tmp_path: Path) -> None:
    """I27 for the snapshot: a file-size limit stands for the full disk."""
    data = plant(tmp_path / "data", classes(a=30, b=30))
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from features.dataset import IngestRules, ingest\n"
        "from features.sources import Columns\nfrom features.spec import IMAGE\n"
        "from features.errors import ServableError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))\n"
        "data = Path(sys.argv[1])\n"
        "try:\n"
        "  ingest(data, raw=IMAGE, columns=Columns(), rules=IngestRules(), root=data.parent / 'datasets')\n"
        "except ServableError as error: print(error); sys.exit(error.exit_code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, data], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 74, done.stdout + done.stderr
    assert not [path for path in (tmp_path / "datasets").glob("*") if not path.name.startswith(".")]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert load(run(data).directory).card["accepted"] == 60
