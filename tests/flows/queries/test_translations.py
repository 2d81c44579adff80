"""How a translation is put in one line, and what a live model answers through ``servable predict``."""

from pathlib import Path

import pytest

from features.texts import pieces
from flows.queries import question
from models.export import export
from models.task import Blueprint
from models.tasks.translation import TRANSLATION, ModelSettings, SubwordSettings
from serving.config import Options
from serving.server.server import Server
from tests.golden import sentence_pairs


@pytest.mark.parametrize("kind", ["transformer", pytest.param("gru", marks=pytest.mark.proof)])
def test_predict_prints_the_translation(tmp_path: Path, kind: str) -> None:
    texts = [text for pair in sentence_pairs(200) for text in pair]
    found, scores = pieces.fit(texts, 500, 0.999)
    blueprint = Blueprint(
        rules=None,
        featurizer=SubwordSettings(vocabulary=500, max_tokens=12),
        model=ModelSettings({"kind": kind, "width": 8, "encoder": 1, "decoder": 1, "growth": 1.0}),
        augmentation=None,
        epochs=1,
        labels=(),
        hub=tmp_path,
        fitted={"pieces": found, "scores": scores},
    )
    network = TRANSLATION.build(blueprint)
    functions = export.signatures(network, TRANSLATION, (), export.DEFAULT)
    wanted = export.answer(functions[export.DEFAULT], [b"two cats", b"fine " * 40])
    base = tmp_path / "pairs"
    export.export(
        network, TRANSLATION, (), base / "1", warmup=[b"two"], model_name="pairs", functions=functions
    )
    with Server(Options(port=0, model_name="pairs", model_base_path=base)) as server:
        asked = question.Question("pairs", ["two cats", "fine " * 40])
        answers = list(question.answers(asked, server.target))
    assert [one["text"] for one in answers] == [text.decode() for text in wanted["text"]]
    assert [one["truncated"] for one in answers] == [False, True]
    assert answers[1]["tokens"] > 12
    assert [one["score"] for one in answers] == pytest.approx(wanted["score"].tolist(), abs=1e-5)


def test_a_line_names_source_translation_and_score() -> None:
    answer = {"input": "Fire!", "text": "Au feu !", "score": -0.2512, "tokens": 2, "truncated": False}
    assert question.sentence(answer) == "Fire!: Au feu ! (-0.25)"
