"""Every listed task keeps the harness's contract on its golden examples."""

import base64
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from features.sounds.files.decoding import wave_bytes
from flows.gate.expectations import read_expectations
from flows.monitoring.monitor import Watch, monitor
from flows.monitoring.page import page
from flows.reports.pages.page import write
from flows.runs.run import Record, expectations
from models.export.export import DEFAULT, answer, signatures
from models.tasks import TASKS
from serving.client.client import Client
from serving.config import Options
from serving.server.server import Server
from tests import browser, drifted, golden, harness, registered
from tests.trained import Trained, shared

#: Tasks with the featurizer of another one, which is checked there.
PLACES = ("keypoint-detection", "object-detection")
FEATURIZED_ALIKE = {"image-search", "image-clustering", "keypoint-detection", "object-detection"}


#: What `make proofs` shows: `make test` has a task with the same raw examples, and tests of the same targets.
ELSEWHERE = {
    *("image-regression", "keypoint-detection", "image-clustering", "tabular-regression"),
    *("speech-recognition", "music-transcription", "translation"),
}


def marked(tasks: Iterable[str]) -> list[Any]:
    """Leave to `make proofs` what a task of `make test` shows as well."""
    return [pytest.param(name, marks=[pytest.mark.proof] * (name in ELSEWHERE)) for name in sorted(tasks)]


@pytest.fixture(scope="module", params=marked(TASKS))
def example(request, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A training of one task, which no test changes."""
    return shared(request.param, tmp_path_factory)


def test_every_task_has_golden_examples_and_a_small_recipe() -> None:
    assert set(TASKS) == set(golden.GOLDEN) == set(golden.SMALL) == set(golden.RECIPE)


@pytest.mark.parametrize("example", marked(set(TASKS) - FEATURIZED_ALIKE), indirect=True)
def test_features_are_the_same_eagerly_and_in_a_pipeline(example: Trained) -> None:
    plan, record, raws = opened(example)
    dataset = record.load_dataset()
    harness.check_featurizer(record.networks.network(plan, dataset), raws)


@pytest.fixture(scope="module")
def server(example: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the example's release, and of no other version."""
    base = tmp_path_factory.mktemp("served")
    (base / "1").symlink_to(example.summary["release"])
    with Server(Options(port=0, rest_port=0, model_name="golden", model_base_path=base)) as running:
        yield running


def test_live_server_answers_as_the_training_graph(example: Trained, server: Server) -> None:
    plan, _, raws = opened(example)
    harness.check_server(server.target, plan.task, (raws, *registered.answers(example)))


@pytest.mark.proof
def test_network_is_the_same_when_it_is_built_again(example: Trained) -> None:
    plan, record, raws = opened(example)
    dataset = record.load_dataset()
    network = record.networks.trained(plan, record.run, dataset)
    release = Path(example.summary["release"])
    asked = (raws, *registered.answers(example))
    harness.check_rebuilt(network, plan.task, dataset.labels, release, asked)


def test_mlflow_answers_with_the_registered_model(example: Trained) -> None:
    registered.check(example)


@pytest.mark.parametrize("example", marked(PLACES), indirect=True)
def test_places_are_those_of_the_image_whatever_its_form(example: Trained, server: Server) -> None:
    plan, record, _ = opened(example)
    dataset = record.load_dataset()
    network = record.networks.trained(plan, record.run, dataset)
    raws = golden.odd_photos()
    answers = harness.check_places(server.target, network, plan.task, dataset.labels, raws)
    assert answers["scores"].max() > 0
    # However a photo is stored, it has the places that it is displayed with.
    for name in set(answers) & set(harness.IN_PIXELS):
        turned = answers[name][-8:]
        np.testing.assert_allclose(turned, np.repeat(turned[:1], 8, axis=0), rtol=0, atol=0.01)
    if "boxes" in answers:
        sizes = network.featurizer.located(tf.constant(raws))[1].numpy()
        assert (answers["boxes"] >= 0).all()
        assert (answers["boxes"] <= np.tile(sizes, 2)[:, None]).all()


def test_the_report_begins_with_examples_and_says_what_the_model_costs_and_how_it_is_called(
    example: Trained,
) -> None:
    page = example.run.report.read_text()
    header, _, rest = page.partition("<header>")[2].partition("</header>")
    lead = header.partition('<div class="lead">')[2]
    assert "<img" in lead or "<blockquote" in lead
    for fact in ("training time", "parameters", "size of the release"):
        assert f"<dt>{fact}</dt>" in header
    network = opened(example)[1].networks.network(opened(example)[0], opened(example)[1].load_dataset())
    assert f"<bdi>{network.model.count_params():,d}</bdi>" in header
    for code in ("servable predict golden", "/v1/models/golden:predict", "client.predict("):
        assert code in rest.replace("&#34;", '"')


@pytest.mark.parametrize("example", marked(PLACES), indirect=True)
def test_the_report_has_the_sections_of_its_task(example: Trained) -> None:
    page = example.run.report.read_text()
    headings = {
        "keypoint-detection": ("Metrics", "Points", "Largest errors"),
        "object-detection": ("Metrics", "Errors"),
    }[example.summary["task"]]
    for heading in (*headings, "Training", "Dataset"):
        assert re.search(rf"<h2[^>]*>\s*{re.escape(heading)}", page), heading
    figure = {"keypoint-detection": "Points within a distance", "object-detection": "Precision and recall"}
    assert figure[example.summary["task"]] in page


@pytest.mark.parametrize("example", marked(drifted.CHANGED), indirect=True)
def test_monitoring_notices_what_has_changed_and_nothing_else(example: Trained, tmp_path: Path) -> None:
    part, change, others, same = drifted.CHANGED[example.summary["task"]]
    live = change(example.data / part, tmp_path / "changed")
    outcome = monitor(example.workspace, Watch("golden", str(live)))
    assert {"answer label", "answer score", *same} <= {shift.measure for shift in outcome.shifts}
    found = {shift.measure for shift in outcome.drifted}
    assert (others - found, same & found) == (set(), set())
    assert not outcome.live.refused
    html = tmp_path / "drift.html"
    write(page(outcome), html)
    for measure in others:
        assert f"Drift in {measure}" in html.read_text()
    assert ('class="cells"' in html.read_text()) == (example.summary["task"] == "tabular-classification")


@pytest.mark.parametrize("example", marked(["speech-recognition"]), indirect=True)
def test_what_is_said_is_written_down_however_long_it_takes(example: Trained) -> None:
    """Recordings with pauses between them say what they say alone, at the times when they say it."""
    plan, record, _ = opened(example)
    assert example.summary["metrics"]["test/wer"] < 0.15
    dataset = record.load_dataset()
    network = record.networks.trained(plan, record.run, dataset)
    function = signatures(network, plan.task, dataset.labels, DEFAULT)[DEFAULT]
    raws = [dataset.read(row) for row in dataset.measured.head(10).itertuples()]
    alone = [answer(function, [raw]) for raw in raws]
    together = answer(function, raws)
    assert together["text"].tolist() == [one["text"][0] for one in alone]
    for place, one in enumerate(alone):
        count = int(one["count"][0])
        for name in ("starts", "ends"):
            np.testing.assert_allclose(together[name][place, :count], one[name][0, :count], atol=1e-5)
            assert not together[name][place, count:].any()
    rate = plan.rules.sample_rate
    sounds = [soundfile.read(io.BytesIO(raw), dtype="float32")[0] for raw in raws]
    pause = np.random.default_rng(0).normal(0, 0.005, rate // 2).astype(np.float32)
    joined = np.concatenate([part for sound in sounds for part in (sound, pause)])
    long = answer(function, [wave_bytes(np.clip(joined, -1, 1), rate)])["text"]
    words = b" ".join(one["text"][0] for one in alone).decode()
    # As many words, of which so small a network hears a few otherwise beside others.
    assert len(long[0].split()) == len(words.split())
    assert jiwer.wer(words, long[0].decode()) < 0.2


@pytest.mark.parametrize("example", marked(["speech-recognition"]), indirect=True)
def test_the_report_shows_what_was_misheard(example: Trained) -> None:
    page = example.run.report.read_text()
    for heading in ("Metrics", "Training", "Dataset"):
        assert re.search(rf"<h2[^>]*>\s*{re.escape(heading)}", page), heading
    assert "Transcripts by split" in page
    assert "character error rate" in page


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    if browser.executable() is None:
        pytest.skip("no chromium on this machine")
    with browser.Browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


def test_the_page_asks_every_question_of_the_model(
    example: Trained, server: Server, chromium, tmp_path: Path
) -> None:
    plan, _, raws = opened(example)
    name = plan.task.raw.input
    with Client(server.target) as client:
        page = chromium.page()
        page.open(f"http://{server.rest_target}/#golden")
        page.wait_for("!!document.querySelector('#form [type=submit]')")
        assert page.run("document.querySelector('#signatures label').textContent") == "predict"
        page.click("#signatures input")
        field = f"#field-{name}"
        if page.run(f"document.querySelector('{field}').type") == "file":
            (tmp_path / "example").write_bytes(raws[0])
            page.choose_file(field, tmp_path / "example")
        else:
            page.fill(field, raws[0].decode())
            page.click("#form [type=submit]")
        answered = "/Answered/.test(document.querySelector('#status').textContent)"
        page.wait_for(f"{answered} || !document.querySelector('#problem').hidden")
        assert page.run(answered), page.text("#problem")
        (sent,) = page.body(0)["inputs"][name]
        content = base64.b64decode(sent["b64"]) if isinstance(sent, dict) else sent
        wanted = client.predict("golden", {name: [content]})
        text = page.run("document.querySelector('#raw pre').textContent")
        # A long answer, such as a piano roll, is cut off: people read its beginning.
        shown = json.loads(text) if not text.endswith(" ...") else {}
        assert text.endswith(" ...") or shown.keys() == wanted.keys()
        for output in shown:
            if wanted[output].dtype != object:
                np.testing.assert_allclose(np.array(shown[output]), wanted[output][0], rtol=1e-4, atol=1e-5)
        # What another question needs beside the example, a person types: it is told, and is no failure.
        for at in range(1, page.run("document.querySelectorAll('#signatures input').length")):
            page.click(f"#signatures label:nth-child({at + 1}) input")
            page.wait_for(f"{answered} || document.querySelector('#status').textContent === ''")
            assert page.run("document.querySelector('#problem').hidden"), page.text("#problem")
        assert page.complaints == []
        page.close()


def opened(example: Trained) -> tuple:
    """Return plan, record and raw examples of a finished training."""
    state = example.run.read()
    record = Record(example.run, state.dataset, None, None, None)  # type: ignore[arg-type]
    raws, _ = read_expectations(expectations(record))
    return example.plan(), record, raws
