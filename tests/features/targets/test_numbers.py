"""Numbers as targets: how they are read, checked, kept and grouped."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.datasets.dataset import Dataset
from features.decisions import Decisions
from features.errors import ConfigError, DataError
from features.ingest.ingest import ingest
from features.ingest.rules import IngestRules, NumberRules
from features.quarantine import RefusedError
from features.sources.files.candidates import Columns
from features.spec import IMAGE
from features.targets import TARGETS
from features.targets.boxes import BOXES
from features.targets.classes import CLASS
from features.targets.numbers import NUMBERS, standard
from features.targets.target import Gathered
from tests.faults.corpus import encode, picture
from tests.faults.ingests import reasons, records


def frames(folder: Path, count: int = 30, **columns: list[str]) -> Path:
    """Write photos and a table of them; a column left out is the angle."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:03}.png").write_bytes(encode(picture(number), "PNG"))
    table = pd.DataFrame({"file": [f"{number:03}.png" for number in range(count)]})
    columns = columns or {"angle": [f"{number / 10 - 1:.2f}" for number in range(count)]}
    for name, cells in columns.items():
        table[name] = cells
    table.to_csv(folder / "table.csv", index=False)
    return folder


def numbers_of(data: Path, *targets: str, **rules: object) -> Dataset:
    settings = NumberRules(**({"max_bad_fraction": 0.9, "decode_processes": 1} | rules))
    columns = Columns(target=targets or None)
    return ingest(
        data, raw=IMAGE, target=NUMBERS, columns=columns, rules=settings, root=data.parent / "datasets"
    )


def test_a_column_of_numbers_becomes_the_target(tmp_path: Path) -> None:
    dataset = numbers_of(frames(tmp_path / "data"), "angle")
    assert dataset.labels == ("angle",)
    assert dataset.card["target"] == "numbers"
    encoded = NUMBERS.encode(dataset.frame)
    assert encoded.dtype == np.float32
    expected = [int(name[:3]) / 10 - 1 for name in dataset.frame["name"]]
    np.testing.assert_allclose(encoded[:, 0], expected, rtol=1e-6)
    parts = dataset.card["numbers"]["angle"]
    assert parts["all"]["mean"] == pytest.approx(np.mean(expected))
    assert parts["all"]["most"] == pytest.approx(1.9)
    assert sum(parts[split]["examples"] for split in ("train", "validation", "test")) == 30


def test_several_columns_are_several_numbers(tmp_path: Path) -> None:
    data = frames(tmp_path / "data", x=[str(n) for n in range(30)], y=[str(n % 7) for n in range(30)])
    dataset = numbers_of(data, "y", "x")
    assert dataset.labels == ("y", "x")
    encoded = NUMBERS.encode(dataset.frame)
    for (y, x), name in zip(encoded, dataset.frame["name"], strict=True):
        assert (y, x) == (int(name[:3]) % 7, int(name[:3]))
    with pytest.raises(DataError, match="this task takes one target column"):
        ingest(data, raw=IMAGE, columns=Columns(target=("y", "x")), rules=IngestRules(), root=tmp_path / "d")


def test_what_is_no_number_is_quarantined(tmp_path: Path) -> None:
    cells = [f"{n}.5" for n in range(30)]
    cells[3:9] = ["fast", "inf", "1e39", "", "NA", "nan"]
    dataset = numbers_of(frames(tmp_path / "data", speed=cells), "speed")
    assert sorted(one["reason"] for one in records(dataset)) == ["missing_value"] * 3 + ["not_a_number"] * 3
    assert "the target is 'fast'; expected a finite number" in {one["detail"] for one in records(dataset)}
    assert dataset.card["found"] == dataset.card["accepted"] + dataset.card["quarantined"] == 30


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1.234,5", 1234.5),
        ("1,234.5", 1234.5),
        ("12,5", 12.5),
        ("$ 3.25", 3.25),
        ("-7", -7.0),
        ("+1e-3", 0.001),
    ],
)
def test_numbers_are_read_as_their_column_writes_them(written: str, value: float) -> None:
    from features.sources.tables.cells import line

    (text,) = NUMBERS.read([line([written])], NumberRules(), Decisions()).values()
    assert text == f"{value:.17g}"


def test_copies_with_other_numbers_are_refused_unless_kept(tmp_path: Path) -> None:
    data = frames(tmp_path / "data")
    for name in ("001.png", "002.png"):
        (data / name).write_bytes((data / "000.png").read_bytes())
    dataset = numbers_of(data, "angle")
    assert set(reasons(dataset).values()) == {"conflicting_labels"}
    assert len(dataset.frame) == 27
    assert len(numbers_of(data, "angle", conflicts="keep").frame) == 30


def test_blocks_stay_in_one_split(tmp_path: Path) -> None:
    blocks = [f"scene {n // 3}" for n in range(60)]
    data = frames(tmp_path / "data", 60, angle=[str(n / 7) for n in range(60)], scene=blocks)
    dataset = numbers_of(data, "angle", block_column="scene", test_fraction=0.4)
    by_block = dataset.frame.groupby("block")["split"].nunique()
    assert (by_block == 1).all()
    assert set(dataset.frame["split"]) >= {"train", "test"}
    assert sorted(dataset.frame["block"]) == sorted(blocks)
    for folder in ("a", "b"):
        (tmp_path / "classes" / folder).mkdir(parents=True)
        (tmp_path / "classes" / folder / "x.png").write_bytes(encode(picture(1), "PNG"))
    with pytest.raises(ConfigError, match=r"data\.block_column needs a table"):
        ingest(
            tmp_path / "classes",
            raw=IMAGE,
            columns=Columns(),
            rules=IngestRules(block_column="scene"),
            root=tmp_path / "d",
        )


def test_one_block_alone_leaves_nothing_to_test_on(tmp_path: Path) -> None:
    data = frames(tmp_path / "data", angle=[str(n) for n in range(30)], scene=["one"] * 30)
    with pytest.raises(DataError, match=r"no example is left for the (train|test) split"):
        numbers_of(data, "angle", block_column="scene")


def test_class_folders_have_no_numbers(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        (tmp_path / "data" / folder / "x.png").write_bytes(encode(picture(1), "PNG"))
    with pytest.raises(DataError, match="does not contain exactly one table"):
        numbers_of(tmp_path / "data")


def test_a_constant_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the target is the same in every example"):
        numbers_of(frames(tmp_path / "data", angle=["0.0"] * 30), "angle")
    with pytest.raises(DataError, match="no usable example"):
        NUMBERS.check(Gathered([]))


def test_fingerprints_know_the_names_of_numbers(tmp_path: Path) -> None:
    one = numbers_of(frames(tmp_path / "one" / "data", x=[str(n) for n in range(30)]), "x")
    same = numbers_of(frames(tmp_path / "two" / "data", x=[str(n) for n in range(30)]), "x")
    other = numbers_of(frames(tmp_path / "three" / "data", y=[str(n) for n in range(30)]), "y")
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_a_flood_of_one_value_is_a_group_of_its_own() -> None:
    random = np.random.default_rng(0)
    values = np.where(random.random(1000) < 0.7, 0.0, random.normal(0, 1, 1000)).astype(np.float32)
    groups = NUMBERS.groups(values[:, None])
    (flood,) = np.unique(groups[values == 0])
    assert not (groups[values != 0] == flood).any()
    counts = np.bincount(groups)
    assert len(counts) == 11
    others = np.delete(counts, flood)
    assert others.max() <= others.min() + 2
    # Like values stand together.
    for group in set(groups) - {flood}:
        inside = values[groups == group]
        between = values[(values > inside.min()) & (values < inside.max()) & (values != 0)]
        assert len(between) <= len(inside)


def test_standard_is_numpys() -> None:
    values = np.random.default_rng(0).normal(3, 2, (50, 2))
    frame = pd.DataFrame({"target": list(values), "split": ["train"] * 40 + ["test"] * 10})
    found = standard(frame)
    np.testing.assert_allclose(found["mean"], values[:40].mean(0))
    np.testing.assert_allclose(found["deviation"], values[:40].std(0))


def test_targets_are_listed_by_the_name_the_card_keeps() -> None:
    assert {name: target.name for name, target in TARGETS.items()} == {name: name for name in TARGETS}
    assert (TARGETS["class"], TARGETS["numbers"], TARGETS["boxes"]) == (CLASS, NUMBERS, BOXES)
    assert isinstance(NUMBERS.read(["x"], NumberRules(), Decisions())["x"], RefusedError)
