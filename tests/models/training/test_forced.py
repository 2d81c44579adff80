"""Training with the targets before each place: the same after an interruption, and it learns."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.ingest.ingest import ingest
from features.sources.files.candidates import Columns
from features.spec import TEXT
from features.targets.sentence import SENTENCE
from features.texts import pieces
from features.texts.rules import PairRules
from features.texts.subwords import Subwords
from models.evaluation import inference
from models.network import Phase
from models.networks.texts import translation
from models.networks.texts.transformer import Transformer
from models.tasks.translation import TRANSLATION
from models.training import determinism, training
from models.training.examples import Examples
from models.training.settings import TranslationSettings
from models.training.step import measure_step
from tests import golden

SETTINGS = TranslationSettings(
    batch_size=16, towers=2, learning_rate=0.01, clip_norm=1.0, average=2, bucketing=True, warmup=0.1
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    return ingest(
        golden.sentences(folder / "data"),
        raw=TEXT,
        target=SENTENCE,
        columns=Columns(),
        rules=PairRules(decode_processes=1),
        root=folder / "datasets",
    )


@pytest.fixture(scope="module")
def subwords() -> Subwords:
    return Subwords(*pieces.fit([text for pair in golden.sentence_pairs(400) for text in pair], 450, 1.0), 40)


def trained(dataset, subwords, folder: Path, stores: Path, epochs: int, **more):
    determinism.fix(0)
    writer = Transformer(subwords.size, 24, 2, 32, 1, 1, 0.1, name="writer")
    network = translation.network(subwords, writer, 2, 2.0, epochs)
    training.featurize(network, dataset, stores)
    history = training.train(
        network,
        dataset,
        target=SENTENCE,
        objective=TRANSLATION.objective,
        settings=SETTINGS,
        stores=stores,
        checkpoints=folder,
        seed=0,
        **more,
    )
    return network, history


@pytest.mark.proof
def test_an_interrupted_training_ends_with_the_same_weights(dataset, subwords, tmp_path):
    whole, _ = trained(dataset, subwords, tmp_path / "whole", tmp_path, 2)

    def stop(stage: str, done: int, total: int | None) -> None:
        if stage.startswith("train") and done == total - 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(dataset, subwords, tmp_path / "parts", tmp_path, 2, progress=stop)
    parts, _ = trained(dataset, subwords, tmp_path / "parts", tmp_path, 2)
    assert training.weights_hash(parts.model) == training.weights_hash(whole.model)


@pytest.mark.proof
def test_what_is_learnt_is_written(dataset, subwords, tmp_path):
    network, history = trained(dataset, subwords, tmp_path / "run", tmp_path, 24)
    first, last = (history.epochs[place]["metrics"] for place in (0, -1))
    assert last["validation_loss"] < 0.5 * first["validation_loss"]
    # Marks and numbers at the ends of sentences are drawn at random.
    assert last["validation_accuracy"] > 0.6
    answers = inference.outputs(network, TRANSLATION, (), dataset.measured, tmp_path)
    texts = [text.decode() for text in answers["text"]]
    words = [
        (set(text.split()[:-1]), set(target.split()[:-1]))
        for text, target in zip(texts, dataset.measured["target"], strict=True)
    ]
    assert np.mean([len(one & other) / max(1, len(one | other)) for one, other in words]) > 0.4
    # Batches of like lengths, and answers in the order of the examples.
    rows = np.argsort([len(text) for text in texts])[:3]
    alone = inference.outputs(network, TRANSLATION, (), dataset.measured.iloc[rows], tmp_path)
    assert [text.decode() for text in alone["text"]] == [texts[row] for row in rows]


def test_lengths_of_inputs_and_targets_count_together():
    class Varying:
        def __init__(self, lengths):
            self.lengths = np.array(lengths)

        def __len__(self):
            return len(self.lengths)

    one, other = Varying([1, 2]), Varying([5, 3])
    groups = np.zeros(2, int)
    assert Examples(one, other, ["a", "b"], groups).lengths.tolist() == [6, 5]
    assert Examples(np.zeros((2, 3)), other, ["a", "b"], groups).lengths.tolist() == [5, 3]
    assert Examples(np.zeros((2, 3)), np.zeros(2), ["a", "b"], groups).lengths is None


def test_a_step_takes_targets_of_any_length():
    source, previous = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
    model = keras.Model([source, previous], Transformer(300, 8, 1, 8, 1, 1)(source, previous))
    phase = Phase("train", None, model, None, 1, forced=translation.shifted)
    step = measure_step(model, translation.cross_entropy(0.0), TRANSLATION.objective, phase.given)
    for size, length in ((2, 4), (3, 7), (1, 1)):
        ids = tf.fill([size, length], 270)
        assert float(step(ids, ids, tf.ones([size]))["weight"]) == size
