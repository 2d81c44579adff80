"""Work cut into parts: nothing is left out, what travels is small, and what is done is not done again."""

import json
import pickle
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.datasets import feature_store
from features.datasets.dataset import Dataset
from features.datasets.feature_store import FeatureStore
from features.images.featurizer import ImageFeaturizer
from features.ingest.ingest import ingest
from features.ingest.rules import IngestRules
from features.ingest.verdicts import part_examiner
from features.ingest.verdicts.part_examiner import Examiner
from features.sources.files.candidates import Columns
from features.spec import IMAGE
from features.spread import Part, parts
from flows.orchestration.task_runners import MOST_BYTES
from tests import golden


@given(st.integers(1, 10_000_000), st.sampled_from([1, 7, 32]))
def test_parts_cover_all_and_are_small(total: int, multiple: int) -> None:
    cut = parts(total, multiple)
    assert [start for start, _ in cut] == [0, *(stop for _, stop in cut[:-1])]
    assert cut[-1][1] == total
    sizes = {stop - start for start, stop in cut[:-1]}
    assert all(size % multiple == 0 and size <= max(1000, multiple) for size in sizes)
    # At least 32, unless they would be smaller than a batch.
    assert len(cut) >= 32 or cut[0][1] == min(multiple, total)


class Travelled:
    """Calls a function for each part as another process would: with copies, in another order, some twice."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, function: Callable[[Part], Any], cut: Sequence[Part]) -> Iterator[Any]:
        sent = pickle.dumps(function)
        for part in reversed(cut):
            pickle.loads(sent)(part)
            result = pickle.dumps(pickle.loads(sent)(part))
            self.sizes += [len(sent), len(pickle.dumps(part)), len(result)]
            yield pickle.loads(result)


@pytest.fixture
def travelled() -> Iterator[Travelled]:
    yield Travelled()
    part_examiner.kept.close()


def _ingest(data: Path, root: Path, **options: Any) -> Dataset:
    return ingest(data, raw=IMAGE, columns=Columns(), rules=IngestRules(), root=root, **options)


def test_ingest_and_features_are_the_same_in_parts(tmp_path: Path, travelled: Travelled) -> None:
    data = golden.GOLDEN["image-classification"](tmp_path / "data")
    folder = next(each for each in data.iterdir() if each.is_dir())
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    whole = _ingest(data, tmp_path / "whole")
    spread = _ingest(data, tmp_path / "spread", spread=travelled)
    assert spread.fingerprint == whole.fingerprint
    assert spread.frame.drop(columns="path").equals(whole.frame.drop(columns="path"))
    same = ("found", "accepted", "quarantined", "reasons", "formats", "decoded", "sizes")
    assert [spread.card[key] for key in same] == [whole.card[key] for key in same]

    stage = feature_store.traced(ImageFeaturizer(height=16, width=16))
    stores = [FeatureStore(tmp_path / name) for name in ("rows", "rows-of-parts")]
    for store, elsewhere in zip(stores, (None, lambda cut: travelled(_Rows(stores[1]), cut)), strict=True):
        _Rows.stage, _Rows.dataset = stage, spread
        feature_store.compute(stage.function, spread, store, elsewhere=elsewhere)
    hashes = list(whole.frame["sha256"])
    np.testing.assert_array_equal(*(store.gather(hashes)[np.arange(len(hashes))] for store in stores))
    assert not any((tmp_path / "spread" / ".index").glob("*.parts"))
    assert max(travelled.sizes) < MOST_BYTES / 100


class _Rows:
    """Computes parts; stage and dataset are rebuilt by the other process, which here has them already."""

    stage: Any
    dataset: Dataset

    def __init__(self, store: FeatureStore) -> None:
        self.store = store

    def __call__(self, part: Part) -> int:
        before = len(self.store.missing(list(self.dataset.frame["sha256"])))
        feature_store.compute_part(self.stage, self.dataset, self.store, part)
        return before - len(self.store.missing(list(self.dataset.frame["sha256"])))


def test_a_part_that_is_done_is_read_and_not_decoded_again(tmp_path: Path) -> None:
    data = golden.GOLDEN["image-classification"](tmp_path / "data")
    files = [bytes(path) for path in sorted(data.rglob("*.*"))][:20]
    examiner = Examiner("image", json.dumps(IngestRules().decoder_rules()), b"", tmp_path / "parts")

    def twice(function: Callable[[Part], Any], cut: Sequence[Part]) -> Iterator[Any]:
        done = [function(part) for part in cut]
        shutil.rmtree(data)
        assert done == list(cut)
        return (function(part) for part in cut)

    try:
        verdicts = dict(examiner.examined(files, twice))
    finally:
        part_examiner.kept.close()
    assert verdicts.keys() == set(files)
    assert {verdict.reason for verdict in verdicts.values()} == {None}
