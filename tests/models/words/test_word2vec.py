"""Training of word vectors: as gensim does it by itself, the same again, and after a cut."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from gensim.models import Word2Vec
from gensim.test.utils import datapath
from sklearn.decomposition import PCA

from features.errors import DataError
from features.texts.words import WordFeaturizerSettings
from models.task import Blueprint
from models.tasks import word_vectors
from models.words import loss as word_loss
from models.words import word2vec
from models.words.word2vec import Word2VecSettings, WordTrainingSettings


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "words.txt"
    lines = Path(datapath("lee_background.cor")).read_text(encoding="utf-8").lower().splitlines()[:120]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def counted(tokens: Path) -> tuple[dict[str, int], int]:
    words = tokens.read_text(encoding="utf-8").split()
    counts = Counter(words)
    known = sorted((word for word, count in counts.items() if count > 4), key=lambda w: (-counts[w], w))
    return {word: counts[word] for word in known}, len(words)


def train(tokens: Path, folder: Path, *, epochs: int = 4, on_epoch=None, **model) -> np.ndarray:
    counts, total = counted(tokens)
    settings = Word2VecSettings(kind="word2vec", **({"dimensions": 16, "window": 4} | model))
    return word2vec.train(
        tokens,
        counts,
        total,
        model=settings,
        settings=WordTrainingSettings(epochs=epochs, learning_rate=0.05),
        checkpoints=folder,
        seed=1,
        on_epoch=on_epoch or (lambda epoch, metrics: None),
    )


@pytest.mark.parametrize("architecture", ["skip-gram", "cbow"])
def test_epoch_by_epoch_comes_to_what_gensim_does_in_one_go(
    tokens: Path, tmp_path: Path, architecture: str
) -> None:
    ours = train(tokens, tmp_path, architecture=architecture)
    counts, total = counted(tokens)
    gensims = Word2Vec(
        sg=int(architecture == "skip-gram"), vector_size=16, window=4, negative=10, sample=1e-4, workers=1,
        min_count=1, seed=1, alpha=0.05, min_alpha=1e-4, sorted_vocab=0, epochs=4,
    )  # fmt: skip
    gensims.build_vocab_from_freq(counts)
    gensims.train(corpus_file=str(tokens), total_words=total, epochs=4)
    assert gensims.wv.index_to_key == list(counts)
    # The learning rate is the same straight line, rounded elsewhere.
    np.testing.assert_allclose(ours, gensims.wv.vectors, atol=1e-4)


@pytest.mark.parametrize("components", [0, 2])
def test_what_all_words_share_is_taken_away(tokens: Path, tmp_path: Path, components: int) -> None:
    plain = train(tokens, tmp_path / "plain", epochs=1)
    pruned = train(tokens, tmp_path / "pruned", epochs=1, common_components=components)
    centred = plain - plain.mean(0)
    pca = PCA(2, svd_solver="full").fit(plain)
    shared = pca.transform(plain)[:, :components] @ pca.components_[:components]
    np.testing.assert_allclose(pruned, centred - shared, atol=1e-5)
    assert np.abs(shared).max(initial=0) > 1e-3 or not components


@pytest.mark.parametrize(("power", "components"), [(1.5, 0), (1.5, 2), (0.5, 2)])
def test_singular_values_are_raised_to_the_power(
    tokens: Path, tmp_path: Path, power: float, components: int
) -> None:
    """By NumPy's SVD, up to a factor that keeps the variance."""
    pruned = train(tokens, tmp_path / "pruned", epochs=1, common_components=components)
    raised = train(tokens, tmp_path / "raised", epochs=1, common_components=components, singular_power=power)
    left, singular, right = np.linalg.svd(pruned.astype(np.float64), full_matrices=False)
    kept = len(singular) - components
    expected = (left[:, :kept] * singular[:kept] ** power) @ right[:kept]
    expected *= np.linalg.norm(singular[:kept]) / np.linalg.norm(singular[:kept] ** power)
    np.testing.assert_allclose(raised, expected, atol=1e-5)
    assert raised.dtype == np.float32
    assert raised.std() == pytest.approx(pruned.std(), rel=1e-4)
    assert np.abs(raised - pruned).max() > 1e-3


def test_t2_a_training_cut_off_goes_on_to_the_same_vectors(
    tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word2vec, "_CHECKPOINT_SECONDS", 0.0)
    losses: dict[int, float] = {}
    whole = train(tokens, tmp_path / "whole", on_epoch=lambda e, m: losses.update({e: m["loss"]}))
    assert sorted(losses) == [1, 2, 3, 4]
    assert losses[4] < losses[1]

    def cut(epoch: int, metrics: dict[str, float]) -> None:
        if epoch == 3:
            raise RuntimeError("the power is gone")

    with pytest.raises(RuntimeError, match="power"):
        train(tokens, tmp_path / "cut", on_epoch=cut)
    again: list[int] = []
    resumed = train(tokens, tmp_path / "cut", on_epoch=lambda epoch, metrics: again.append(epoch))
    assert again == [3, 4]
    np.testing.assert_array_equal(resumed, whole)


@pytest.mark.parametrize("tree", [False, True])
def test_the_loss_of_an_untrained_model_is_that_of_guessing(tokens: Path, tree: bool) -> None:
    counts, _ = counted(tokens)
    model = Word2Vec(vector_size=8, window=3, negative=0 if tree else 6, hs=int(tree), min_count=1, sg=1)
    model.build_vocab_from_freq(counts)
    loss = word_loss.Loss(tokens, model.wv.index_to_key, model, 0)
    if not tree:
        # Output vectors begin at zero, so that every one of 1 + 6 decisions is a coin's.
        assert loss() == pytest.approx(7 * np.log(2), rel=1e-6)
        return
    codes = model.wv.expandos["code"]
    assert min(map(len, codes)) * np.log(2) < loss() < max(map(len, codes)) * np.log(2)


def test_threads_that_race_are_not_used_where_vectors_must_come_out_again() -> None:
    assert word2vec.workers(WordTrainingSettings(workers=4)) == 1
    assert word2vec.workers(WordTrainingSettings(workers=4, reproducible=False)) == 4


def test_t9_a_corpus_without_a_frequent_word_is_refused_with_the_count_it_has() -> None:
    blueprint = Blueprint(
        rules=None,
        featurizer=WordFeaturizerSettings(min_count=3),
        model=SimpleNamespace(root=Word2VecSettings(kind="word2vec")),
        augmentation=None,
        epochs=1,
        labels=(),
        hub=Path(),
    )
    with pytest.raises(DataError, match=r"no word occurs as often as featurizer\.min_count=3") as caught:
        word_vectors.fit(blueprint, [b"one two two", b"!"])
    assert "2 different words, the most frequent 2 times" in str(caught.value)
    found = word_vectors.fit(blueprint, [b"one two two", b"Two b"])
    assert (found["vocabulary"], found["counts"], found["tokens"]) == (["two"], [3], 5)
    assert found["figures"]["train/unknown_share"] == pytest.approx(2 / 5)
