"""A search on a small table: real trainings, stopped, resumed, and never measured on the test split."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from features.errors import DataError, UsageError
from flows import cli
from flows.runs.directory import RunDirectory
from flows.runs.plans.request import Request
from flows.steps import evaluate
from flows.tuning import search
from flows.tuning.search import Limits
from tests import golden, mlflow_store

TASK = "tabular-classification"
#: A trial is a few passes: what is shown here is what a search makes of them.
SMALL = (*golden.SMALL[TASK], "training.epochs=3", "training.min_steps=0")


@pytest.fixture(scope="module")
def request_of(tmp_path_factory: pytest.TempPathFactory) -> Request:
    folder = tmp_path_factory.mktemp("search")
    mlflow_store.database(folder / "mlruns")
    data = golden.GOLDEN[TASK](folder / "data")
    overrides = (*SMALL, "training.learning_rate=1e-5..0.1", "training.batch_size=8,32")
    return Request(
        TASK, str(data), "golden", recipe="mlp", overrides=overrides, workspace=str(folder / "workspace")
    )


@pytest.fixture(autouse=True)
def _no_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked(*_: object) -> None:
        raise AssertionError("a search looked at the test split")

    monkeypatch.setattr(evaluate.inference, "outputs", looked)


def test_a_search_goes_on_after_it_was_cut_off(request_of: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = search.Search._trained
    count = 0

    def cut_off(self, *arguments):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return trained(self, *arguments)

    monkeypatch.setattr(search.Search, "_trained", cut_off)
    with pytest.raises(KeyboardInterrupt):
        search.search(request_of, Limits(4, 10))
    outcome = search.search(request_of, Limits(4, 10))
    assert count == 5  # two, the one that was cut off, and again it and one more
    assert [row["state"] for row in outcome.trials].count("failed") == 0
    assert len(outcome.trials) == 4
    # Where nothing is named, the first trial is the recipe as it stands.
    assert outcome.trials[0]["params"]["training.batch_size"] == 32
    complete = [row for row in outcome.trials if row["state"] == "complete"]
    assert outcome.value == max(row["value"] for row in complete)
    assert outcome.own == outcome.trials[0]["value"]
    assert outcome.request.overrides[-2:] == tuple(
        f"{key}={json.dumps(value)}" for key, value in outcome.params.items()
    )
    page = (outcome.folder / "report.html").read_text()
    assert "Learning curves of the trials" in page
    kept = json.loads((outcome.folder / "trials.json").read_text())
    assert [row["number"] for row in kept] == [row["number"] for row in outcome.trials]
    assert not list(outcome.folder.glob("*/final.npz"))


def test_trials_are_runs_below_the_search(request_of: Request) -> None:
    root = Path(request_of.workspace).parent
    client = mlflow_store.Workplace(root, f"sqlite:///{root / 'mlruns' / 'mlflow.db'}").client
    (experiment,) = [each for each in client.search_experiments() if each.name == "golden"]
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "search" in run.info.run_name]
    trials = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(trials) >= 4
    assert parent.data.metrics["trials"] == 4
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith(
        f"**best validation_accuracy {parent.data.metrics['best_validation_accuracy']:.4g} with "
    )
    assert note.endswith("**, of 4 trials")
    assert "; the recipe as it stands " in note


def test_every_recipe_is_tried(request_of: Request) -> None:
    outcome = search.search(replace(request_of, recipe="auto", overrides=SMALL), Limits(2, 10))
    assert {row["params"]["recipe"] for row in outcome.trials} == {"linear", "mlp"}
    assert outcome.request.recipe == outcome.params["recipe"]


def test_a_setting_that_fails_ends_its_trial_alone(request_of: Request) -> None:
    overrides = (*SMALL, "training.epochs=1,0")
    outcome = search.search(replace(request_of, overrides=overrides), Limits(4, 10))
    states = {row["params"]["training.epochs"]: row["state"] for row in outcome.trials}
    assert states == {1: "complete", 0: "failed"}
    assert "training.epochs" in next(row["error"] for row in outcome.trials if row["error"])
    with pytest.raises(DataError, match="no trial"):
        search.search(replace(request_of, overrides=(*SMALL, "training.epochs=0,-1")), Limits(2, 10))


def held_out(outcome: search.Outcome) -> set[float]:
    """Return the share of the data that the trials of a search were compared on."""
    states = [RunDirectory(path).read() for path in outcome.folder.iterdir() if path.is_dir()]
    return {state.recipe["data"]["validation_fraction"] for state in states if state.recipe}


def test_trials_are_compared_on_enough_examples(
    request_of: Request, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = search.search(request_of, Limits(1, 10))
    assert held_out(outcome) == {search.LARGER}
    assert f"{search.LARGER:.0%} of the data are held out" in capsys.readouterr().err
    # The winner is trained as the recipe says, and so are trials where somebody says how much is held out.
    assert not [each for each in outcome.request.overrides if "validation_fraction" in each]
    asked = replace(request_of, overrides=(*request_of.overrides, "data.validation_fraction=0.1"))
    outcome = search.search(asked, Limits(1, 10))
    assert held_out(outcome) == {0.1}
    assert "held out" not in capsys.readouterr().err


def test_what_cannot_be_searched(request_of: Request) -> None:
    with pytest.raises(UsageError, match="validation"):
        search.search(
            replace(request_of, overrides=(*request_of.overrides, "data.validation_fraction=0")), Limits(1, 1)
        )
    with pytest.raises(UsageError, match=r"data\.seed"):
        search.search(replace(request_of, overrides=("data.seed=1,2",)), Limits(1, 1))


def test_the_command_names_the_best(request_of: Request, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["tune", TASK, "--data", request_of.data, "--name", "golden", "--recipe", "mlp", "--trials", "4"]
    wanted += ["--workspace", request_of.workspace, "--local", "--quiet", "--no-train", "--json"]
    for override in request_of.overrides:
        wanted += ["--set", override]
    with pytest.raises(SystemExit) as left:
        cli.main(wanted)
    assert not left.value.code
    found = json.loads(capsys.readouterr().out)
    assert len(found["trials"]) == 4
    assert found["training"] is None
    assert found["overrides"][-1].startswith("training.batch_size=")
