"""Fault cases of ingest (I1 to I28, O9), on files made from code and through the public calls."""

import base64
import io
import os
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from features.datasets.dataset import Dataset, load
from features.errors import AccessError, DataError, NoInputError, TemporaryError
from features.ingest.ingest import ingest
from features.ingest.rules import IngestRules
from features.ingest.verdicts import verdict as validation
from features.ingest.verdicts.decoder_pool import DecoderPool, Job
from features.ingest.verdicts.facts import Facts
from features.sources.recognise import Columns
from features.spec import IMAGE
from features.storage import files as storage_files
from tests.faults.corpus import Case, classes, encode, good, hostile, mutated, picture, plant
from tests.faults.ingests import LENIENT, child, notes, reasons, records, run


@pytest.fixture(scope="module")
def corpus(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Dataset, tuple[Case, ...], tuple[Case, ...]]:
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


def test_i2_what_the_content_looks_like_is_named(corpus: tuple) -> None:
    details = {Path(entry["path"]).name: entry["detail"] for entry in records(corpus[0])}
    looks = {"html.png": "HTML", "text.png": "text", "pdf.png": "PDF", "zip.png": "ZIP", "tiff.jpg": "TIFF"}
    for name, look in looks.items():
        assert f"the content is {look}" in details[name]


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
    """In a child whose peak memory is measured: this process and its decoders.

    Without TensorFlow, which takes so much itself that a bomb would not be noticed.
    """
    bombs = {f"a/{case.name}": case.data for case in hostile() if case.reason == "too_large"}
    assert len(bombs) >= 8
    plain = plant(tmp_path / "plain" / "data", classes(a=5, b=5))
    bombed = plant(tmp_path / "bombed" / "data", classes(a=5, b=5) | bombs)
    measure = (
        "import resource\n"
        "peak = [resource.getrusage(who).ru_maxrss"
        " for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]\n"
        "print(dataset.card['quarantined'], *peak)"
    )

    def peaks(data: Path) -> list[int]:
        with child(data, after=measure, compared=False) as measured:
            output, errors = measured.communicate(timeout=60)
        assert measured.returncode == 0, errors
        return [int(number) for number in output.split()]

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
    with pytest.raises(DataError, match=r"x\.jpg has changed since it was ingested"):
        dataset.read(row)


def test_i10_other_types_are_skipped_by_rule(tmp_path: Path) -> None:
    data = plant(
        tmp_path / "data",
        classes(a=5, b=5)
        | {f"a/{name}": b"%!PS" for name in ("p.eps", "q.eps", "r.svg", "s.ai", "t.pdf", "u.ps")}
        | {"a/.hidden.png": b"x", "a/Thumbs.db": b"x"},
    )
    (data / "a/p.eps").chmod(0)
    dataset = run(data)
    assert dataset.card["skipped_endings"] == {".eps": 2, ".svg": 1, ".ai": 1, ".pdf": 1, ".ps": 1}
    skips = dataset.card["skip_reasons"]
    assert skips == {"unsupported_extension": 6, "hidden": 1, "system_file": 1}
    assert dataset.card["quarantined"] == 0


def test_i22_links_and_special_files_are_never_opened(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(a=5, b=5))
    (data / "a/loop").symlink_to(data)
    (data / "a/passwd.png").symlink_to("/etc/passwd")
    os.mkfifo(data / "a/pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        bind_inside(listener, data / "a", "socket.png")
    deep = "/".join(["d"] * 60)
    plant(data / "b", {f"{deep}/x.png": encode(picture(77), "PNG")})
    worker = threading.Thread(target=lambda: outcome.append(run(data)), daemon=True)
    outcome: list[Dataset] = []
    worker.start()
    worker.join(60)
    assert outcome, "a FIFO was waited for"
    card = outcome[0].card
    assert card["accepted"] == 10
    assert card["skip_reasons"] == {"symlink": 2, "special_file": 2, "too_deep": 1}


def bind_inside(listener: socket.socket, folder: Path, name: str) -> None:
    """Bind a socket in a folder whose path may be too long for an address."""
    with tempfile.TemporaryDirectory() as short:
        (Path(short) / "folder").symlink_to(folder)
        listener.bind(str(Path(short) / "folder" / name))


WITHOUT_PRIVILEGE = """
if not os.environ.get("SERVABLE_TEST_DROPPED"):
    import ctypes
    for capability in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, with which root reads everything
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
    os.environ["SERVABLE_TEST_DROPPED"] = "1"
    os.execv(sys.executable, sys.orig_argv)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="drops Linux capabilities, so that modes bind root too")
def test_i23_files_and_folders_without_permission(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(a=6, b=6) | {"a/secret/x.png": encode(picture(1), "PNG")})
    closed = [data / "a/000.png", data / "a/secret"]
    try:
        for path in closed:
            path.chmod(0)
        output, errors = child(data, first=WITHOUT_PRIVILEGE, compared=False).communicate(timeout=60)
        dataset = load(Path(output.strip() or errors))
        assert reasons(dataset) == {"000.png": "unreadable", "secret": "unreadable"}
        assert dataset.card["accepted"] == 11
        data.chmod(0)
        refused = child(data, first=WITHOUT_PRIVILEGE, compared=False)
        output, _ = refused.communicate(timeout=60)
        assert (refused.returncode, str(data) in output) == (77, True)
    finally:
        for path in (data, *closed):
            path.chmod(0o700)


def test_i23_a_file_that_goes_between_listing_and_reading(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(a=6, b=6))

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage == "scan":
            (data / "a/000.png").unlink(missing_ok=True)

    dataset = ingest(
        data, raw=IMAGE, columns=Columns(), rules=LENIENT, root=tmp_path / "datasets", progress=progress
    )
    assert reasons(dataset) == {"000.png": "vanished"}
    assert dataset.card["found"] == 12


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
        storage_files.read_file(os.fsencode(path), 1 << 20)
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
        storage_files.read_file(os.fsencode(path), 1 << 20)
    assert caught.value.reason == "vanished"
    path.write_bytes(bytes(1000))
    real = os.read

    def grows(descriptor: int, count: int) -> bytes:
        with path.open("ab") as file:
            file.write(b"more")
        return real(descriptor, count)

    monkeypatch.setattr(os, "read", grows)
    with pytest.raises(validation.RefusedError) as caught:
        storage_files.read_file(os.fsencode(path), 1 << 20)
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


def test_i28_a_second_ingest_of_the_same_source_stops_at_once(tmp_path: Path) -> None:
    """Two real ones; the first waits in its progress report until it is killed."""
    data = plant(tmp_path / "data", classes(a=6, b=6))
    waits = (
        "def progress(stage, done, total):\n"
        "    if stage == 'decode': print('held', flush=True); sys.stdin.read(); import time; time.sleep(60)"
    )
    with child(data, before=waits) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TemporaryError) as caught:
            run(data)
        assert caught.value.exit_code == 75
        assert f"process {holder.pid} on {socket.gethostname()}, since 20" in str(caught.value)
        holder.kill()
    assert run(data).card["accepted"] == 12


def test_an_ingest_that_is_killed_keeps_what_it_decoded(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(a=350, b=350))
    dies = (
        "def progress(stage, done, total):\n"
        "    if stage == 'decode': print(done, flush=True); os.kill(os.getpid(), 9)"
    )
    with child(data, before=dies) as killed:
        output, _ = killed.communicate(timeout=60)
    assert killed.returncode == -9
    decoded = int(output)
    assert 0 < decoded < 700
    card = run(data).card
    assert (card["accepted"], card["reused"]) == (700, decoded)


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


# Damaged EXIF: Pillow's own warning, about what it passes over.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
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
    with pytest.raises(DataError, match=r"3 of 43 examples .* \(limit 5 %\)") as caught:
        run(data, IngestRules())
    assert caught.value.exit_code == 65
    (listed,) = (tmp_path / "datasets").rglob("quarantine.jsonl")
    assert str(listed) in str(caught.value)
    assert len(listed.read_text().splitlines()) == 3
    assert run(data, IngestRules(max_bad_fraction=0.07)).card["quarantined"] == 3


def test_a_full_disk_is_named_and_what_was_decoded_stays_known(tmp_path: Path) -> None:
    """I27 for the snapshot: a file-size limit stands for the full disk."""
    data = plant(tmp_path / "data", classes(a=30, b=30))
    full = child(
        data,
        before="import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))",
    )
    output, errors = full.communicate(timeout=60)
    assert full.returncode == 74, output + errors
    assert not [path for path in (tmp_path / "datasets").glob("*") if not path.name.startswith(".")]
    assert load(run(data).directory).card["accepted"] == 60
