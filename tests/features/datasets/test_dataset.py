"""Datasets: splits by content, fingerprints, what is decoded again, and the page that describes it all."""

import base64
import hashlib
import json
import os
import random
import re
import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import quarantine
from features.datasets import splits as splitting
from features.datasets.dataset import Dataset, load
from features.errors import DataError, InternalError
from features.ingest import ingest_examples
from features.ingest.examination import Examination
from features.ingest.ingest import ingest
from features.ingest.rules import BoxRules, IngestRules, PointRules
from features.rows.rules import RowRules
from features.sounds.rules import AudioRules
from features.sources.recognise import Columns
from features.spec import IMAGE
from features.texts.rules import TextRules
from tests.conftest import ROOT
from tests.faults.corpus import classes, encode, picture, plant


def run(data: Path, root: Path | None = None, **rules) -> Dataset:
    return ingest(
        data, raw=IMAGE, columns=Columns(), rules=IngestRules(**rules), root=root or data.parent / "datasets"
    )


def splits(dataset: Dataset) -> dict[str, str]:
    """Content hash to split."""
    return dict(zip(dataset.frame["sha256"], dataset.frame["split"], strict=True))


def test_splits_follow_content_alone(tmp_path: Path) -> None:
    """Other names, folders' order and neighbours move nobody."""
    files = classes(a=60, b=60)
    first = run(plant(tmp_path / "one" / "data", files))
    renamed = {
        f"{name.partition('/')[0]}/{number}-renamed.png": files[name] for number, name in enumerate(files)
    }
    second = run(plant(tmp_path / "two" / "data", renamed))
    assert splits(first) == splits(second)
    assert first.fingerprint == second.fingerprint
    more = {f"a/new-{number}.png": encode(picture(9000 + number), "PNG") for number in range(10)}
    third = run(plant(tmp_path / "one" / "data", more))
    moved = {one: split for one, split in splits(first).items() if splits(third)[one] != split}
    assert moved == {}


def test_splits_have_the_sizes_asked_for(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(a=300, b=300))
    shares = run(data, test_fraction=0.3, validation_fraction=0.2).frame["split"].value_counts(normalize=True)
    # Three standard deviations of a binomial share of 600.
    assert shares["test"] == pytest.approx(0.3, abs=3 * (0.3 * 0.7 / 600) ** 0.5)
    assert shares["validation"] == pytest.approx(0.2, abs=3 * (0.2 * 0.8 / 600) ** 0.5)
    other = run(data, test_fraction=0.3, validation_fraction=0.2, seed=1)
    same = sum(splits(other)[one] == split for one, split in splits(run(data, test_fraction=0.3)).items())
    assert same < 550


def test_a_given_split_wins(tmp_path: Path) -> None:
    files = {f"train/{name}": data for name, data in classes(a=20, b=20).items()}
    for split, base in (("val", 50), ("test", 60)):
        files |= {f"{split}/a/{n}.png": encode(picture(base * 100 + n), "PNG") for n in range(4)}
        files |= {f"{split}/b/{n}.png": encode(picture(base * 100 + 50 + n), "PNG") for n in range(4)}
    dataset = run(plant(tmp_path / "data", files))
    assert dataset.card["splits"] == {"train": 40, "validation": 8, "test": 8}
    by_name = dict(zip(dataset.frame["name"], dataset.frame["split"], strict=True))
    for name, split in by_name.items():
        assert {"val": "validation"}.get(name.split("/")[0], name.split("/")[0]) == split


@pytest.mark.parametrize("beside", ["val", "test"])
def test_one_split_beside_train_is_the_test_split(tmp_path: Path, beside: str) -> None:
    files = {f"train/{name}": data for name, data in classes(a=60, b=60).items()}
    files |= {f"{beside}/a/x{n}.png": encode(picture(5000 + n), "PNG") for n in range(6)}
    files |= {f"{beside}/b/x{n}.png": encode(picture(5100 + n), "PNG") for n in range(6)}
    frame = run(plant(tmp_path / "data", files)).frame
    named = frame["name"].str.startswith(beside)
    assert set(frame[named]["split"]) == {"test"}
    assert set(frame[~named]["split"]) == {"train", "validation"}


def test_every_class_is_in_every_split(tmp_path: Path) -> None:
    dataset = run(plant(tmp_path / "data", classes(**{f"c{number}": 3 for number in range(12)})))
    counts = dataset.frame.groupby(["label", "split"]).size()
    assert len(counts) == 36
    assert counts.min() == 1


def test_the_fingerprint_changes_with_content_and_label(tmp_path: Path) -> None:
    files = classes(a=8, b=8)
    first = run(plant(tmp_path / "one" / "data", files)).fingerprint
    other = files | {"a/000.png": encode(picture(1), "PNG")}
    second = run(plant(tmp_path / "two" / "data", other)).fingerprint
    moved = {
        name.replace("a/000", "b/zzz") if name == "a/000.png" else name: data for name, data in files.items()
    }
    third = run(plant(tmp_path / "three" / "data", moved)).fingerprint
    assert len({first, second, third}) == 3


def test_nothing_unchanged_is_decoded_again(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(a=30, b=30) | {"a/bad.png": b"bad"})
    first = run(data)
    assert (first.card["decoded"], first.card["reused"]) == (61, 0)
    again = run(data)
    assert (again.card["decoded"], again.card["reused"]) == (0, 61)
    assert again.fingerprint == first.fingerprint
    plant(data, {f"b/new-{number}.png": encode(picture(8000 + number), "PNG") for number in range(10)})
    more = run(data)
    assert (more.card["decoded"], more.card["reused"]) == (10, 61)
    (data / "a/000.png").write_bytes(encode(picture(8100), "PNG"))
    changed = run(data)
    assert (changed.card["decoded"], changed.card["reused"]) == (1, 70)
    assert len({first.fingerprint, more.fingerprint, changed.fingerprint}) == 3


def index_of(root: Path) -> Path:
    (path,) = (root / ".index").glob("*.sqlite")
    return path


def test_a_damaged_index_costs_time_alone(tmp_path: Path) -> None:
    """Whatever becomes of the cache of verdicts, the snapshot is the same and nothing raises."""
    data = plant(tmp_path / "data", classes(a=12, b=12))
    first = run(data)
    index = index_of(tmp_path / "datasets")
    whole, noise = index.read_bytes(), random.Random(0)
    for _ in range(15):
        damaged = bytearray(whole)
        place = noise.randrange(len(damaged) - 200)
        damaged[place : place + 200] = noise.randbytes(200)
        index.write_bytes(damaged)
        again = run(data)
        assert again.fingerprint == first.fingerprint
        assert again.frame.equals(first.frame)
        assert again.card["decoded"] + again.card["reused"] == 24


def test_a_verdict_that_was_changed_in_the_index_is_not_believed(tmp_path: Path) -> None:
    """A wrong hash in the cache would else stand in every later manifest."""
    data = plant(tmp_path / "data", classes(a=8, b=8))
    first = run(data)
    with sqlite3.connect(index_of(tmp_path / "datasets")) as database:
        database.execute('UPDATE verdicts SET verdict = replace(verdict, \'"sha256": "\', \'"sha256": "0\')')
    database.close()
    again = run(data)
    assert (again.card["decoded"], again.card["reused"]) == (16, 0)
    assert again.fingerprint == first.fingerprint


def test_found_is_accepted_and_quarantined_and_skipped(tmp_path: Path) -> None:
    """G2, with numbers counted by hand."""
    files = classes(a=6, b=6) | {"a/bad.png": b"bad", "b/empty.png": b"", "a/n.txt": b"x", "b/.hid": b"x"}
    files |= {"readme.png": b"beside the classes", "c/only.png": encode(picture(1), "PNG")}
    dataset = run(plant(tmp_path / "data", files), max_bad_fraction=0.5, drop=("c",))
    counts = {key: dataset.card[key] for key in ("found", "accepted", "quarantined", "skipped")}
    assert counts == {"found": 18, "accepted": 12, "quarantined": 2, "skipped": 4}
    assert dataset.card["reasons"] == {"empty": 1, "not_an_image": 1}
    assert dataset.card["skip_reasons"] == {
        "dropped_class": 1,
        "hidden": 1,
        "outside_class_folder": 1,
        "unsupported_extension": 1,
    }
    assert sum(sum(counts.values()) for counts in dataset.card["classes"].values()) == 12


def test_an_ingest_that_loses_an_example_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive control of the law of conservation: it is the product that counts."""
    data = plant(tmp_path / "data", classes(a=6, b=6))
    whole = Examination.run

    def lossy(examination: Examination):
        findings = whole(examination)
        findings.accepted.pop()
        return findings

    monkeypatch.setattr(ingest_examples.Examination, "run", lossy)
    with pytest.raises(InternalError, match="12 found, 11 accepted, 0 quarantined, 0 skipped"):
        run(data)


def test_quarantine_records_say_which_file_why_and_where(tmp_path: Path) -> None:
    """Every field, against the file itself."""
    content = b"no picture"
    data = plant(tmp_path / "data", classes(a=6, b=6) | {b"a/bad-\xff.png": content})
    dataset = run(data, max_bad_fraction=0.5)
    (entry,) = [json.loads(line) for line in dataset.quarantine.read_text().splitlines()]
    assert entry.pop("detail")
    assert entry == {
        "path": "a/bad-\\xff.png",
        "path_b64": base64.b64encode(b"a/bad-\xff.png").decode(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "stage": "ingest.image",
        "reason": "not_an_image",
    }


def test_a_folder_of_any_name_is_shown_printable_and_verified_by_its_bytes(tmp_path: Path) -> None:
    data = plant(tmp_path / os.fsdecode(b"odd \xff\n\\ root") / "data", classes(a=6, b=6))
    plant(data, {b"a/x\xfe.png": encode(picture(99), "PNG")})
    dataset = run(data)
    assert dataset.card["source"].isprintable()
    (data / "a" / os.fsdecode(b"x\xfe.png")).unlink()
    (entry,) = dataset.verify()
    assert base64.b64decode(entry["path_b64"]) == b"a/x\xfe.png"
    assert (entry["path"], entry["reason"]) == ("a/x\\xfe.png", "vanished")


def test_the_same_content_from_elsewhere_renews_the_snapshot(tmp_path: Path) -> None:
    first = run(plant(tmp_path / "one" / "data", classes(a=6, b=6)), tmp_path / "datasets")
    second = run(plant(tmp_path / "two" / "data", classes(a=6, b=6)), tmp_path / "datasets")
    assert first.directory == second.directory
    shutil.rmtree(tmp_path / "one")
    assert load(first.directory).verify() == []
    assert sorted(path.name for path in (tmp_path / "datasets").iterdir() if path.name[0] != ".") == [
        first.fingerprint
    ]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(3, 40), min_size=2, max_size=5),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.05, 0.3]),
    st.sampled_from([0.01, 0.2, 0.5]),
)
def test_splits_of_any_classes(sizes: list[int], seed: int, validation: float, test: float) -> None:
    """Copies together, each class in each split, order without influence."""
    rows = [
        (f"class {c}", f"{c}-{i // 2 if i > 5 else i}") for c, size in enumerate(sizes) for i in range(size)
    ]

    def assign(rows: list[tuple[str, str]]) -> dict[tuple[str, str], set[str]]:
        labels, groups = zip(*rows, strict=True)
        found: dict[tuple[str, str], set[str]] = {}
        options = {"validation_fraction": validation, "test_fraction": test, "seed": seed}
        for row, split in zip(
            rows, splitting.assign(labels, groups, [None] * len(rows), **options), strict=True
        ):
            found.setdefault(row, set()).add(split)
        return found

    forward = assign(rows)
    assert all(len(split) == 1 for split in forward.values())
    wanted = {"train", "test"} | ({"validation"} if validation else set())
    for label in {label for label, _ in rows}:
        assert set.union(*(split for (own, _), split in forward.items() if own == label)) == wanted
    shuffled = random.Random(seed).sample(rows, len(rows))
    assert assign(shuffled) == forward


def test_a_snapshot_is_loaded_as_it_was_made(tmp_path: Path) -> None:
    dataset = run(plant(tmp_path / "data", classes(a=8, b=8)))
    loaded = load(dataset.directory)
    assert loaded.frame.equals(dataset.frame)
    assert (loaded.labels, loaded.card, loaded.fingerprint) == (
        dataset.labels,
        dataset.card,
        dataset.fingerprint,
    )
    assert loaded.directory.name == loaded.fingerprint
    assert [loaded.labels[target] for target in loaded.frame["target"]] == list(loaded.frame["label"])


@pytest.mark.parametrize("name", ["manifest.parquet", "card.json", "labels.json"])
def test_a_damaged_snapshot_is_named_and_renewed(tmp_path: Path, name: str) -> None:
    data = plant(tmp_path / "data", classes(a=8, b=8))
    dataset = run(data)
    for damage in (b"", b"damaged", b"[]", b"{}"):
        (dataset.directory / name).write_bytes(damage)
        with pytest.raises(DataError, match=name):
            load(dataset.directory)
    assert run(data).frame.equals(dataset.frame)


def test_one_flipped_bit_of_a_manifest_is_found(tmp_path: Path) -> None:
    dataset = run(plant(tmp_path / "data", classes(a=8, b=8)))
    path = dataset.directory / "manifest.parquet"
    whole, noise = path.read_bytes(), random.Random(0)
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[noise.randrange(len(damaged))] ^= 1 << noise.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"manifest\.parquet"):
            load(dataset.directory)


def test_an_archive_is_the_folder_it_holds(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(a=8, b=8))
    shutil.make_archive(str(tmp_path / "packed"), "zip", data)
    packed = run(tmp_path / "packed.zip", tmp_path / "datasets")
    assert packed.fingerprint == run(data).fingerprint


# -- docs/ingest.md -------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "ingest.md").read_text()


@pytest.mark.parametrize("known", [quarantine.REASONS, quarantine.SKIPS, quarantine.NOTES])
def test_the_page_lists_exactly_what_the_code_knows(known: dict[str, str]) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE, re.MULTILINE))
    assert {key: rows.get(key) for key in known} == known
    assert set(rows) <= {*quarantine.REASONS, *quarantine.SKIPS, *quarantine.NOTES}


def test_the_page_lists_every_rule() -> None:
    rows = dict(re.findall(r"^\| `data\.(\w+)` \| `(.+?)` \|", PAGE, re.MULTILINE))
    kinds = (BoxRules, PointRules, RowRules, AudioRules, TextRules)
    fields = {name: field for rules in kinds for name, field in rules.model_fields.items()}
    assert rows == {name: str(field.get_default(call_default_factory=True)) for name, field in fields.items()}
