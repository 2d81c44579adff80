"""The linear baseline: what scikit-learn gives on the same features, by splits and by folds."""

from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from features.datasets.dataset import Dataset
from features.ingest.ingest import ingest
from features.sources.files.candidates import Columns
from features.spec import TEXT
from features.texts.rules import TextRules
from models.baselines import contents, linear
from models.tasks import TASKS

WORDS = {"good": "fine lovely great warm", "bad": "poor dull awful cold"}


def reviews(folder: Path, *, folds: bool) -> Dataset:
    random = np.random.default_rng(0)
    rows = []
    for number in range(120):
        label = ("good", "bad")[number % 2]
        # Every tenth says the opposite of its label.
        said = WORDS[label if number % 10 else {"good": "bad", "bad": "good"}[label]].split()
        words = [str(number), *random.choice(said, 3), *random.choice(["the", "a", "it"], 4)]
        rows.append((" ".join(words), label, number // 2 % 3, "test" if number % 3 == 0 else "train"))
    table = folder / "reviews.csv"
    pd.DataFrame(rows, columns=["text", "label", "fold", "split"]).to_csv(table, index=False)
    columns = Columns(input="text", target="label", **({"fold": "fold"} if folds else {"split": "split"}))
    rules = TextRules(validation_fraction=0.0) if folds else TextRules()
    return ingest(table, raw=TEXT, columns=columns, rules=rules, root=folder / "datasets")


def test_texts_are_classified_as_scikit_learn_does_it(tmp_path: Path) -> None:
    dataset = reviews(tmp_path, folds=False)
    metrics = linear.metrics(TASKS["text-classification"], dataset, None)
    parts = {split: dataset.frame[dataset.frame["split"] == split] for split in ("train", "test")}
    texts = {
        split: [dataset.read(row).decode() for row in frame.itertuples()] for split, frame in parts.items()
    }
    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\w+|[^\w\s]")
    model = LogisticRegression(C=10.0, max_iter=200, tol=1e-3)
    model.fit(vectors.fit_transform(texts["train"]), parts["train"]["target"].to_numpy(int))
    right = model.score(vectors.transform(texts["test"]), parts["test"]["target"].to_numpy(int))
    assert metrics["test/accuracy"] == pytest.approx(right)
    assert 0.8 < right < 1


def test_folds_are_answered_by_fits_to_the_others(tmp_path: Path) -> None:
    dataset = reviews(tmp_path, folds=True)
    frame = dataset.frame.assign(split="train")
    whole = Dataset(
        dataset.directory, "x", dataset.labels, dataset.slugs, dataset.card, frame, dataset.quarantine
    )
    metrics = linear.metrics(TASKS["text-classification"], whole, None)
    # The number at the beginning of each text is seen once: a fit to the whole would know every answer.
    assert 0.8 < metrics["test/accuracy"] < 1
    assert metrics["test/examples"] == 120


def test_one_class_alone_has_no_baseline(tmp_path: Path) -> None:
    dataset = reviews(tmp_path, folds=False)
    frame = dataset.frame.assign(target=0)
    one = Dataset(dataset.directory, "x", dataset.labels, dataset.slugs, {}, frame, dataset.quarantine)
    assert linear.metrics(TASKS["text-classification"], one, None) == {}


def test_sounds_are_described_by_librosas_coefficients(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "short.wav", samples[:300], 8000, subtype="FLOAT")
    rows = contents.sounds(((tmp_path / name).read_bytes() for name in ("a.wav", "short.wav")), None)
    mfcc = librosa.feature.mfcc(y=samples, sr=8000, n_mfcc=20)
    np.testing.assert_allclose(rows[0], np.concatenate([mfcc.mean(1), mfcc.std(1)]), rtol=1e-5)
    assert np.isfinite(rows).all()


def test_images_are_described_by_their_pixels() -> None:
    light, dark = (
        tf.io.encode_png(tf.fill([40, 60, 3], tf.constant(level, tf.uint8))).numpy() for level in (255, 51)
    )
    rows = contents.images([light, dark, b"no image"], None)
    assert rows.shape == (3, contents.SIDE**2 * 3)
    np.testing.assert_allclose(rows.mean(1), [1.0, 0.2, 0.5], atol=1e-6)


@pytest.mark.parametrize("name", ["image-clustering", "translation", "object-detection", "word-vectors"])
def test_tasks_of_other_answers_have_none(name: str) -> None:
    assert not linear.applies(TASKS[name])


def test_every_task_of_classes_and_numbers_has_one() -> None:
    named = {name for name, task in TASKS.items() if linear.applies(task)}
    assert named >= {
        "image-classification",
        "image-regression",
        "audio-classification",
        "text-classification",
    }
    assert named >= {"tabular-classification", "tabular-regression"}
    assert all(linear.describe(TASKS[name]) for name in named)
