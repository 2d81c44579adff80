"""Datasets: splits by content, fingerprints, what is decoded again, and the page that describes it all."""

import re
import shutil
from pathlib import Path

import pytest

from features import quarantine
from features.dataset import Dataset, IngestRules, ingest, load
from features.errors import DataError
from features.rules import IngestRules as Rules
from features.sources import Columns
from features.spec import IMAGE
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
    (dataset.directory / "manifest.parquet").write_bytes(b"damaged")
    with pytest.raises(DataError, match="manifest"):
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
    assert rows == {
        name: str(field.get_default(call_default_factory=True)) for name, field in Rules.model_fields.items()
    }
