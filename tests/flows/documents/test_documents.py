"""What a published model says of itself: a model card that Hugging Face reads, and a provenance statement."""

import hashlib
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from features.datasets import dataset as datasets
from flows.documents import front_matter, model_card
from models import tasks
from serving.repository.release import MANIFEST, Release
from serving.repository.repository import Repository
from tests.conftest import ROOT
from tests.trained import Trained

#: Fields of https://huggingface.co/docs/hub/model-cards and of the specification it links to, modelcard.md of
#: huggingface/hub-docs: name to type; those of an entry of model-index by where they stand.
TOP = {
    "language": (str, list),
    "license": str,
    "license_name": str,
    "license_link": str,
    "library_name": str,
    "tags": list,
    "datasets": list,
    "metrics": list,
    "base_model": (str, list),
    "pipeline_tag": str,
    "model-index": list,
}
TASK = {"type": str, "name": str}
DATASET = {"type": str, "name": str, "config": str, "split": str, "revision": str, "args": dict}
METRIC = {"type": str, "value": (int, float), "name": str, "config": str, "args": dict, "verified": bool}


def check_fields(given: dict, allowed: dict, required: tuple[str, ...] = ()) -> None:
    assert set(required) <= set(given) <= set(allowed)
    for name, value in given.items():
        assert isinstance(value, allowed[name]), name


def check_front_matter(content: dict) -> None:
    """Hold metadata against the documented fields."""
    check_fields(content, TOP)
    assert all(isinstance(tag, str) for name in ("tags", "metrics") for tag in content[name])
    for model in content["model-index"]:
        check_fields(model, {"name": str, "results": list}, ("name", "results"))
        for result in model["results"]:
            check_fields(
                result, {"task": dict, "dataset": dict, "metrics": list}, ("task", "dataset", "metrics")
            )
            check_fields(result["task"], TASK, ("type",))
            check_fields(result["dataset"], DATASET, ("type", "name"))
            for metric in result["metrics"]:
                check_fields(metric, METRIC, ("type", "value"))


@pytest.fixture
def release(trained: Trained) -> Release:
    return Repository(trained.workspace.repository).release("golden", 1)


@pytest.fixture
def card(release: Release) -> str:
    return (release.path / "MODEL_CARD.md").read_text(encoding="utf-8")


@pytest.fixture
def metadata(card: str) -> dict[str, Any]:
    """The front matter as Hugging Face finds it: between the first two lines of three hyphens."""
    found = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    assert found is not None
    return yaml.safe_load(found.group(1))


@pytest.fixture
def statement(release: Release) -> dict[str, Any]:
    return json.loads((release.path / "provenance.json").read_bytes())


def test_the_front_matter_has_the_documented_fields(metadata: dict[str, Any]) -> None:
    check_front_matter(metadata)
    assert metadata["library_name"] == "tensorflow"
    assert metadata["pipeline_tag"] == "image-classification"
    assert "license" not in metadata
    assert {"image-classification", "image", "servable"} <= set(metadata["tags"])


def test_the_figures_are_those_of_the_run(trained: Trained, metadata: dict[str, Any], card: str) -> None:
    (model,) = metadata["model-index"]
    (result,) = model["results"]
    assert model["name"] == "golden"
    assert result["dataset"] == {
        "type": "data",
        "name": "data",
        "split": "test",
        "revision": trained.summary["dataset"]["fingerprint"],
    }
    measured = trained.summary["metrics"]
    told = {metric["name"]: metric["value"] for metric in result["metrics"]}
    assert told.items() <= measured.items()
    left = {"examples", "majority_accuracy", "linear_accuracy", "accuracy_low", "accuracy_high"}
    assert {name.removeprefix("test/") for name in measured.keys() - told.keys()} == left
    assert metadata["metrics"] == [metric["type"] for metric in result["metrics"]]
    interval = f"{measured['test/accuracy_low']:.4g} to {measured['test/accuracy_high']:.4g}"
    assert f"| `test/accuracy` | {measured['test/accuracy']:.6g} | {interval} |" in card
    for baseline in ("test/majority_accuracy", "test/linear_accuracy"):
        assert f"| `{baseline}` | {measured[baseline]:.6g} | " in card.partition("Beside it")[2]


def test_the_card_says_what_the_model_is_for_and_where_it_fails(trained: Trained, card: str) -> None:
    headings = re.findall(r"^## (.*)$", card, re.MULTILINE)
    assert headings == [*("Intended use", "Data", "Figures", "Limits", "How to call it", "How it was made")]
    assert "one of 2 classes, whatever the input is: level, upright." in card
    counts = trained.summary["dataset"]
    for name in ("found", "accepted", "quarantined", "skipped"):
        assert f"| {name} | {counts[name]} |" in card
    snapshot = datasets.load(Path(trained.run.read().dataset.directory))
    for split, count in snapshot.card["splits"].items():
        assert f"| {split} | {count} |" in card
    assert f"rest on {len(snapshot.measured)} examples" in card
    assert "| label | f1 | precision | recall | support |" in card
    assert "| level | " in card.partition("## Limits")[2]
    better = trained.summary["metrics"]["test/linear_accuracy"] > trained.summary["metrics"]["test/accuracy"]
    assert ("A linear model does better" in card) == better
    recipe = yaml.safe_load(card.partition("````yaml\n")[2].partition("````")[0])
    assert recipe == {"seed": 0, **trained.run.read().recipe}
    assert 'client.predict("golden", image_bytes=[' in card


def test_every_task_of_theirs_is_one_of_ours() -> None:
    assert set(front_matter.PIPELINE_TAGS) < set(tasks.TASKS)


def test_text_from_data_cannot_break_the_card() -> None:
    assert model_card.plain("a|b\nc <img> `d`") == r"a\|b c \<img\> \`d\`"


def test_the_card_and_the_statement_go_to_mlflow_with_the_model(trained: Trained, release: Release) -> None:
    texts = [(release.path / name).read_bytes() for name in ("MODEL_CARD.md", "provenance.json")]
    # Other tests may have registered models of their own there.
    copies = trained.workspace.mlruns.glob("artifacts/**/saved_model")
    kept = [
        [(copy / name).read_bytes() for name in ("MODEL_CARD.md", "provenance.json")]
        for copy in copies
        if (copy / "provenance.json").is_file()
    ]
    assert texts in kept


def test_the_statement_is_one_of_in_toto_on_every_file(release: Release, statement: dict[str, Any]) -> None:
    """Against hashes taken here; the manifest names the statement and cannot be named by its own hash."""
    assert set(statement) == {"_type", "subject", "predicateType", "predicate"}
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    told = {subject["name"]: subject["digest"] for subject in statement["subject"]}
    assert "sha256" not in told.pop(MANIFEST)
    files = {
        path.relative_to(release.path).as_posix(): {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in release.path.rglob("*")
        if path.is_file() and path.relative_to(release.path).as_posix() not in (MANIFEST, "provenance.json")
    }
    assert told == files
    assert {"saved_model.pb", "variables/variables.index", "MODEL_CARD.md"} <= files.keys()


def test_the_statement_names_data_recipe_code_and_lock(trained: Trained, statement: dict[str, Any]) -> None:
    build, details = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    assert set(build) <= {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"}
    assert set(details) <= {"builder", "metadata", "byproducts"}
    parameters, state = build["externalParameters"], trained.run.read()
    assert (parameters["recipe"], parameters["seed"]) == (state.recipe, 0)
    inputs = {entry["name"]: entry for entry in build["resolvedDependencies"]}
    assert inputs["dataset"]["digest"] == {"servableFingerprint": trained.summary["dataset"]["fingerprint"]}
    lock = hashlib.sha256((ROOT / "uv.lock").read_bytes()).hexdigest()
    assert inputs["uv.lock"]["digest"] == {"sha256": lock}
    assert re.fullmatch("[0-9a-f]{40}", inputs["source"]["digest"]["gitCommit"])
    assert inputs["keras"]["uri"].startswith("pkg:pypi/keras@3.")
    assert details["metadata"]["invocationId"] == trained.summary["run_id"]
    assert datetime.fromisoformat(details["metadata"]["finishedOn"]).tzinfo is not None
    assert details["byproducts"][0]["digest"] == {"servableWeights": state.weights_hash}
