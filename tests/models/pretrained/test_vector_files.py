"""Vectors files in every format, against gensim's reader; damaged ones; and the standard tests."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.test.utils import datapath
from scipy.stats import spearmanr

from features.errors import ConfigError
from models.evaluation.measures import words as word_evaluation
from models.pretrained import vector_files


@pytest.fixture(scope="module")
def known() -> KeyedVectors:
    return KeyedVectors.load_word2vec_format(datapath("euclidean_vectors.bin"), binary=True)


@pytest.mark.parametrize("kind", ["bin", "bin.gz", "txt", "glove.txt", "txt.gz"])
def test_every_format_gives_the_vectors_gensim_reads(tmp_path: Path, known: KeyedVectors, kind: str) -> None:
    path = tmp_path / f"vectors.{kind.removesuffix('.gz')}"
    known.save_word2vec_format(path, binary=kind.startswith("bin"), write_header=not kind.startswith("glove"))
    if kind.endswith(".gz"):
        packed = tmp_path / f"vectors.{kind}"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path = packed
    words = [known.index_to_key[3], "no such word at all", known.index_to_key[0]]
    found = vector_files.read(path, words)
    np.testing.assert_allclose(found[[0, 2]], known[[words[0], words[2]]], rtol=1e-6)
    assert not found[1].any()


def test_the_binary_file_that_ships_with_gensim_is_read(known: KeyedVectors) -> None:
    words = known.index_to_key
    found = vector_files.read(Path(datapath("euclidean_vectors.bin")), words)
    np.testing.assert_array_equal(found, known[words])


def test_damaged_files_are_refused_before_memory_is_taken(tmp_path: Path, known: KeyedVectors) -> None:
    whole = Path(datapath("euclidean_vectors.bin")).read_bytes()
    path = tmp_path / "cut.bin"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="binary format to its end"):
        vector_files.read(path, known.index_to_key[-1:])
    path.write_bytes(b"3 999999999\nword " + bytes(70_000))
    with pytest.raises(ConfigError, match="999999999 dimensions"):
        vector_files.read(path, ["word"])
    path.write_bytes(b"2 2\na 1 2\nb 3\n")
    with pytest.raises(ConfigError, match=r"line 3.*1 numbers.*2 numbers"):
        vector_files.read(path, ["a", "b"])
    path.write_bytes(b"2 2\na 1 2\nb 3 4\n")
    with pytest.raises(ConfigError, match="contains none of the words"):
        vector_files.read(path, ["c"])


def test_the_tests_of_word_vectors_are_rank_correlations_over_the_known_pairs() -> None:
    rows = [
        line.split("\t")
        for line in Path(datapath("wordsim353.tsv")).read_text().splitlines()
        if not line.startswith("#")
    ]
    pairs = [(one.lower(), two.lower(), float(score)) for one, two, score in rows if score[:1].isdigit()]
    words = sorted({word for one, two, _ in pairs[:200] for word in (one, two)})
    vectors = np.random.default_rng(0).normal(size=(len(words), 5)).astype(np.float32)
    metrics = word_evaluation.evaluate(words, vectors).metrics
    unit = {w: v / np.linalg.norm(v) for w, v in zip(words, vectors, strict=True)}
    there = [(score, float(unit[a] @ unit[b])) for a, b, score in pairs if a in unit and b in unit]
    assert metrics["eval/wordsim353_pairs"] == len(there)
    wanted = spearmanr(*zip(*there, strict=True)).statistic
    assert metrics["eval/wordsim353_spearman"] == pytest.approx(wanted, abs=1e-6)
    assert metrics["eval/analogies_known"] == 0
    assert "eval/analogies" not in metrics


def test_words_of_another_language_have_no_figure_and_no_error() -> None:
    evaluation = word_evaluation.evaluate(["слово", "言葉"], np.eye(2, dtype=np.float32))
    assert set(evaluation.metrics.values()) == {0}
    assert evaluation.analogies == []
