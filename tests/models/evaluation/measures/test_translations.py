"""Translations against sacrebleu itself, and against what can be counted by hand."""

import numpy as np
import pytest
import sacrebleu
from sacrebleu.metrics import BLEU

from features.errors import DataError
from models.evaluation.measures import translations
from models.evaluation.measures.translations import evaluate

TARGETS = [
    "Le chat dort sur le lit.",
    "Le chat est sur le lit.",
    "Où est la gare ?",
    "Je n'en sais rien.",
    "彼は学生です。",
]
SOURCES = ["a", "a", "b", "c", "d"]
FOUND = [
    "Le chat est sur le lit.",
    "Le chat est sur le lit.",
    "Où est la gare ?",
    "Je ne sais.",
    "彼は先生です。",
]
LENGTHS = np.array([12, 12, 21, 8, 130])


def measured(found=FOUND):
    return evaluate(TARGETS, found, SOURCES, LENGTHS, resamples=200)


def test_bleu_and_chrf_are_sacrebleus():
    metrics = measured().metrics
    assert metrics["test/bleu"] == pytest.approx(sacrebleu.corpus_bleu(FOUND, [TARGETS]).score)
    assert metrics["test/chrf"] == pytest.approx(sacrebleu.corpus_chrf(FOUND, [TARGETS]).score)
    assert metrics["test/bleu_low"] <= metrics["test/bleu"] <= metrics["test/bleu_high"]


def test_the_signatures_are_those_of_the_default_metrics():
    signatures = measured().signatures
    assert signatures["test/bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert signatures["test/chrf"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")
    assert measured().tables["signatures"]["signature"].tolist() == list(signatures.values())


def test_a_source_with_several_targets_is_right_with_each_of_them():
    metrics = measured().metrics
    assert metrics["test/exact"] == 3 / 5
    second = [TARGETS[1], TARGETS[0], None, None, None]
    wanted = BLEU().corpus_score(FOUND, [TARGETS, second]).score
    assert metrics["test/bleu_all_targets"] == pytest.approx(wanted)
    assert metrics["test/bleu_all_targets"] > metrics["test/bleu"]
    assert metrics["test/sources"] == 4


def test_perfect_translations_have_the_highest_scores():
    metrics = measured(TARGETS).metrics
    assert metrics["test/bleu"] == metrics["test/bleu_low"] == pytest.approx(100)
    assert metrics["test/exact"] == metrics["test/length_ratio"] == 1


def test_counts_of_sentences_add_up_to_the_corpus():
    single = BLEU(effective_order=True)
    counted = [single.sentence_score(one, [other]) for one, other in zip(FOUND, TARGETS, strict=True)]
    rows = np.array([[*one.counts, *one.totals, one.sys_len, one.ref_len] for one in counted], float)
    assert 100 * translations._bleu(translations.bleu_metric(), rows.sum(0)) == pytest.approx(
        measured().metrics["test/bleu"]
    )


def test_the_worst_come_first_and_lengths_fall_into_buckets():
    evaluation = measured()
    assert evaluation.sentences["chrf"].is_monotonic_increasing
    assert evaluation.sentences["row"].tolist()[-1] in (1, 2)
    buckets = evaluation.buckets
    assert buckets["examples"].tolist() == [1, 2, 1, 1]
    assert buckets["characters"].tolist() == ["1 to 10", "11 to 20", "21 to 30", "121 to 240"]


def test_empty_translations_and_other_counts():
    assert measured([""] * 5).metrics["test/bleu"] == 0
    with pytest.raises(DataError, match="do not match"):
        evaluate(TARGETS, FOUND[:2], SOURCES, LENGTHS)
