"""The course of word vectors: cut a corpus into words, train word2vec on it, measure it on fixed tests."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from features.storage.files import write_file
from features.texts import words
from flows.console import terminal
from flows.gate import expectations
from flows.orchestration import artifacts, step
from flows.runs import networks
from flows.runs.plans.plan import Plan
from flows.runs.run import Record
from flows.steps import export as exports
from flows.workspace import fingerprint
from models.evaluation.measures import words as word_evaluation
from models.export import export as exporting
from models.network import Network
from models.tasks import word_vectors
from models.training import training
from models.words import word2vec

#: Frequent words that answers are compared on, and those that a call of several words takes.
ASKED_WORDS = 4


def _tokens(plan: Plan, corpus: Any) -> Path:
    """Return the file of the tokenized corpus, named by everything that determines it."""
    key = fingerprint([corpus.fingerprint, plan.recipe["featurizer"]])
    return plan.workspace.features / "words" / f"{key}.txt"


@step.step("featurize", run_name="featurize {plan.name}", retries=2)
def featurize(plan: Plan, record: Record) -> str:
    """Choose the vocabulary and write the corpus as words, unless that is done; return the file."""
    corpus: Any = record.load_dataset()
    record.networks.forget()
    knowledge = networks.knowledge(plan, corpus)
    path = _tokens(plan, corpus)
    if path.is_file():
        step.reuse("the corpus as words")
    if not path.is_file() and plan.sections["model"].root.kind == "word2vec":
        texts = _counted(corpus.texts(plan.sections["featurizer"].wrapped))
        words.write(words.cut(word_vectors.tokenizer(networks.blueprint(plan, corpus)), texts), path)
    artifacts.show_table(
        artifacts.artifact_key("words", plan.name), [dict(knowledge["figures"])], f"Words of {plan.name}"
    )
    return str(path)


def _counted(texts: Iterator[bytes]) -> Iterator[bytes]:
    for done, text in enumerate(texts, start=1):
        terminal.report_progress("cut", done, None)
        yield text


@step.step("train", run_name="train {plan.name}")
def fit(plan: Plan, record: Record) -> str:
    """Train, or go on where a training was cut off; return the file of the final vectors."""
    history_file = record.run.path / "history.json"
    if record.run.weights.is_file() and history_file.is_file():
        step.reuse("the vectors of a finished training")
        return str(record.run.weights)
    corpus = record.load_dataset()
    network = record.networks.network(plan, corpus)
    if plan.sections["model"].root.kind == "word2vec":
        _train(plan, record, network, history_file)
    else:
        write_file(history_file, "[]")
    record.tracked.metrics(networks.figures(plan, corpus))
    networks.save(record.run, network)
    record.run.record(weights_hash=training.weights_hash(network.model))
    return str(record.run.weights)


def _train(plan: Plan, record: Record, network: Network, history_file: Path) -> None:
    corpus = record.load_dataset()
    knowledge, settings = networks.knowledge(plan, corpus), plan.training
    if settings.reproducible and settings.workers > 1:
        terminal.note(
            "training.reproducible: training with one thread; training.reproducible=false would use "
            f"{settings.workers}, with different vectors each time"
        )
    journal = history_file.with_suffix(".jsonl")
    if plan.request.restart:
        journal.unlink(missing_ok=True)

    def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
        row = {f"train/{name}" if name == "loss" else name: value for name, value in metrics.items()}
        record.tracked.metrics(row, step=epoch)
        with journal.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"phase": "word2vec", "epoch": epoch, "metrics": metrics}) + "\n")

    vectors = word2vec.train(
        _tokens(plan, corpus),
        dict(zip(knowledge["vocabulary"], knowledge["counts"], strict=True)),
        knowledge["tokens"],
        model=plan.sections["model"].root,
        settings=settings,
        checkpoints=record.run.checkpoints / "word2vec",
        seed=plan.request.seed,
        progress=artifacts.report_progress,
        on_epoch=on_epoch,
        on_resume=lambda epoch: terminal.report_resumed("train", epoch),
    )
    network.model.get_layer("space").fill(vectors)
    write_file(history_file, json.dumps(_epochs(journal)))


def _epochs(journal: Path) -> list[dict[str, Any]]:
    """Read the epochs; of one that a resumed training repeated, the later row counts."""
    rows = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    return list({row["epoch"]: row for row in rows}.values())


def vectors_of(network: Network) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the words of a trained network and their vectors, float32 [words, d]."""
    return network.featurizer.vocabulary, network.model.get_layer("space").known


@step.step("evaluate", run_name="evaluate {plan.name}")
def evaluate(plan: Plan, record: Record) -> dict[str, float]:
    """Measure the vectors on the tests that come with gensim; return the metrics by name."""
    network = record.networks.trained(plan, record.run, record.load_dataset())
    measured = word_evaluation.evaluate(*vectors_of(network))
    record.run.evaluation.mkdir(exist_ok=True)
    write_file(record.run.evaluation / "words.json", json.dumps(asdict(measured), indent=1))
    record.run.record(metrics=measured.metrics)
    record.tracked.metrics(measured.metrics, step=0)
    rows = [{"metric": name, "value": value} for name, value in sorted(measured.metrics.items())]
    artifacts.show_table(artifacts.artifact_key("metrics", plan.name), rows, f"Tests of {plan.name}")
    return measured.metrics


@step.step("export", run_name="export {plan.name}")
def export(plan: Plan, record: Record) -> str:
    """Write the candidate, and beside the run what the network answers to frequent and to unknown words."""
    corpus = record.load_dataset()
    network = record.networks.trained(plan, record.run, corpus)
    functions = record.networks.functions(plan, record.run, corpus)
    raws = asked(network, plan.gate.parity_rows)

    def answers() -> exports.Answers:
        expected_calls = [
            expectations.call(name, functions[name], arguments) for name, arguments in calls(network)
        ]
        return exporting.answer(functions[exporting.DEFAULT], raws), expected_calls

    return exports.write_candidate(plan, record, network, raws, answers)


def asked(network: Network, rows: int) -> list[bytes]:
    """Return the most frequent words, and an unknown one."""
    vocabulary = [word.encode() for word in network.featurizer.vocabulary[: rows - 1]]
    return [*(vocabulary * rows)[: rows - 1], UNKNOWN]


#: No tokenizer makes a word with a blank in it.
UNKNOWN = b"no word"


def calls(network: Network) -> list[tuple[str, Mapping[str, np.ndarray]]]:
    """Make a call of every signature beside the default one, unknown and missing words among its inputs."""
    vocabulary = (list(network.featurizer.vocabulary) * ASKED_WORDS)[:ASKED_WORDS]
    four = np.array([word.encode() for word in vocabulary], object)
    one, two, three, _ = four
    most = np.array([1, 3, 1000, 7], np.int32)
    return [
        ("most_similar", {"word": np.array([one, two, three, UNKNOWN], object), "k": most}),
        (
            "analogy",
            {
                "positive": np.array([[one, two], [two, b""], [three, UNKNOWN]], object),
                "negative": np.array([[three], [b""], [one]], object),
                "k": most[:3],
            },
        ),
        ("similarity", {"words": np.array([[one, two], [one, one], [two, UNKNOWN]], object)}),
        ("doesnt_match", {"words": np.array([[*four], [one, two, UNKNOWN, b""]], object)}),
        ("embed", {"word": np.array([*four, UNKNOWN], object)}),
    ]
