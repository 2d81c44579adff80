"""What a workspace holds, and deleting what is old: tasks, recipes, runs, report, delete, prune."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
import yaml

from features.errors import NoInputError, TemporaryError, UsageError
from flows import cli
from flows.runs import listing, removal
from flows.runs.plans import plan, settings
from flows.workspace import Workspace
from models import tasks
from serving.repository import leases
from serving.repository.repository import Repository
from tests import golden, mlflow_store
from tests.trained import Trained

TASK = "image-classification"


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run a command in this process; give its exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as left:
        cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(left.value.code or 0), captured.out, captured.err


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def place(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of a workspace with one published model, of which there are four versions."""
    workspace = trained.copy(tmp_path_factory.mktemp("housekeeping")).workspace
    release = Repository(trained.workspace.repository).release("golden", 1)
    shutil.rmtree(workspace.repository)
    repository = Repository(workspace.repository)
    for manifest in (dict(release.manifest), *[{"task": TASK, "metric": None, "metrics": {}}] * 3):
        repository.publish("golden", release.path, manifest)
    return workspace


def test_every_task_is_listed_with_its_recipes(capsys) -> None:
    code, text, _ = output(capsys, "tasks", "--json")
    listed = {row["task"]: row for row in rows(text)}
    assert (code, set(listed)) == (0, set(tasks.TASKS))
    assert listed[TASK]["default"] == "frozen"
    assert "fine-tune" in listed[TASK]["recipes"]
    assert listed["text-classification"]["predicts"] == "Which of several classes a text belongs to."
    assert "image-search" in output(capsys, "tasks")[1]


def test_recipes_say_what_they_are_for(capsys) -> None:
    _, text, _ = output(capsys, "recipes", TASK, "--json")
    listed = {row["recipe"]: row for row in rows(text)}
    assert listed["frozen"]["default"] == "yes"
    assert listed["cnn"]["default"] is None
    assert listed["cnn"]["for"].startswith("Thousands of small images")
    code, _, error = output(capsys, "recipes", "image-clasification")
    assert code == 78
    assert "Did you mean 'image-classification'?" in error


def test_settings_of_a_recipe_have_value_default_and_meaning(capsys) -> None:
    _, text, _ = output(capsys, "recipes", TASK, "cnn", "--json")
    listed = {row["setting"]: row for row in rows(text)}
    recipe = yaml.safe_load((Path(cli.__file__).parent / "recipes" / TASK / "cnn.yaml").read_text())
    assert listed["featurizer.height"]["value"] == recipe["featurizer"]["height"]
    assert listed["model.kind"]["default"] == "(required)"
    assert all(row["meaning"] for row in listed.values())
    resolved = settings.typed_sections(TASK, "cnn")
    assert {name.partition(".")[0] for name in listed} == set(resolved)


@pytest.mark.parametrize("task", sorted(tasks.TASKS))
def test_every_setting_of_every_task_is_found_by_its_name(task: str) -> None:
    named = settings.names(tasks.find(task))
    for each in settings.listed(settings.typed_sections(task, None)):
        section, _, name = each.key.partition(".")
        assert name in named[section]


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("patience=3", ("training", "patience"), 3),
        ("max_pixels=1000", ("data", "max_pixels"), 1000),
        ("batch_norm=training", ("model", "batch_norm"), "training"),
    ],
)
def test_a_setting_needs_no_section_where_one_alone_has_it(
    here: Path, override: str, key: tuple[str, str], value: object
) -> None:
    from flows.runs.plans.request import Request

    request = Request(TASK, str(here), "x", recipe="frozen", overrides=(override,), workspace=str(here))
    assert plan.resolve(request).recipe[key[0]][key[1]] == value


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("train", "image-clasification", "--data", ".", "--name", "x"),
            ["did you mean 'image-classification'?"],
        ),
        (("train", TASK, "--data", ".", "--name", "x", "--recipe", "frozn"), ["did you mean 'frozen'?"]),
        (
            ("train", TASK, "--data", ".", "--name", "x", "--set", "training.epoch=1"),
            ["did you mean 'epochs'?"],
        ),
        (("train", TASK, "--data", ".", "--name", "x", "--set", "epochss=1"), ["did you mean 'epochs'?"]),
        (("train", TASK, "--data", ".", "--name", "x", "--set", "nosuch=1"), ["servable recipes"]),
        (("modls",), ["did you mean 'models'?"]),
    ],
)
def test_near_names_are_offered(capsys, monkeypatch, here: Path, arguments, words) -> None:
    monkeypatch.setenv("SERVABLE_WORKSPACE", str(here / "workspace"))
    code, _, error = output(capsys, *arguments)
    assert code in (2, 78)
    for word in words:
        assert word.lower() in error.lower()


@pytest.mark.parametrize("command", [("runs",), ("report", "x"), ("prune",), ("delete", "x", "--yes")])
def test_commands_that_read_make_no_workspace(capsys, here: Path, command) -> None:
    code, _, error = output(capsys, *command, "--workspace", here / "nowhere")
    assert code == 66
    assert "no workspace" in error
    assert not (here / "nowhere").exists()


def test_runs_tell_state_metric_and_version(capsys, place: Workspace, trained: Trained) -> None:
    _, text, _ = output(capsys, "runs", "--workspace", place.root, "--json")
    (row,) = rows(text)
    assert (row["model"], row["state"], row["version"]) == ("golden", "finished", 1)
    assert row["metric"] == "test/accuracy"
    assert row["value"] == round(trained.summary["metrics"]["test/accuracy"], 4)
    assert "golden" in output(capsys, "runs", "golden", "--workspace", place.root)[1]
    assert "no runs" in output(capsys, "runs", "other", "--workspace", place.root)[2]


def test_a_run_whose_process_is_gone_was_cut_off(place: Workspace, here: Path) -> None:
    shutil.copytree(place.root / "runs", here / "runs")
    copy = Workspace.existing(here)
    (_, run) = next(listing.every(copy))
    run.record(state="running", pid=2**22 + 1)
    assert listing.described(copy)[0]["state"] == "cut off"
    run.record(pid=os.getpid())
    assert listing.described(copy)[0]["state"] == "running"
    assert [each.kind for each in removal.prunable(copy, 1)] == []


@pytest.mark.parametrize("name", ["golden@1", "golden/{run}"])
def test_report_prints_its_path(capsys, place: Workspace, trained: Trained, name: str) -> None:
    wanted = name.format(run=trained.run.path.name)
    code, text, _ = output(capsys, "report", wanted, "--workspace", place.root)
    assert code == 0
    assert Path(text.strip()).read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("name", "words"),
    [("goldn", "did you mean 'golden'"), ("golden@7", "version 7"), ("golden@x", "@VERSION")],
)
def test_reports_that_are_not_there(capsys, place: Workspace, name: str, words: str) -> None:
    code, _, error = output(capsys, "report", name, "--workspace", place.root)
    assert code in (2, 66)
    assert words in error.lower() or words in error


def test_pruning_spares_what_serves_and_says_first_what_goes(capsys, place: Workspace, here: Path) -> None:
    shutil.copytree(place.root, here / "workspace")
    mlflow_store.database(here / "mlruns")
    copy = Workspace.existing(here / "workspace")
    repository = Repository(copy.repository)
    assert (repository.versions("golden"), repository.stable("golden")) == ([1, 2, 3, 4], 4)
    held = leases.lease(copy.repository / "golden", 2)
    old = time.time() - 7200
    for folder in copy.datasets.iterdir():
        os.utime(folder, (old, old))
    _, text, error = output(capsys, "prune", "--keep", 1, "--caches", "--workspace", copy.root)
    # 4 is stable, 3 was stable before, 2 is held by a server: 1 alone goes, with its run and its dataset.
    assert "golden version 1" in text
    assert "golden version 2" not in text
    assert "nothing was deleted" in error
    assert repository.versions("golden") == [1, 2, 3, 4]
    kinds = {
        row["kind"]
        for row in rows(output(capsys, "prune", "--keep", 1, "--json", "--workspace", copy.root)[1])
    }
    assert kinds == {"release", "run", "dataset"}
    leases.end(held)
    _, _, error = output(capsys, "prune", "--keep", 1, "--caches", "--yes", "--workspace", copy.root)
    assert "freed" in error
    assert repository.versions("golden") == [3, 4]
    assert list(listing.every(copy)) == []
    assert list(copy.features.iterdir()) == []
    assert (
        "nothing to delete" in output(capsys, "prune", "--keep", 1, "--caches", "--workspace", copy.root)[2]
    )


def test_versions_that_are_needed_are_not_deleted(place: Workspace) -> None:
    with pytest.raises(UsageError, match="stable"):
        removal.delete(place, "golden", 4, "")
    with pytest.raises(NoInputError, match="9"):
        removal.delete(place, "golden", 9, "")
    with pytest.raises(UsageError, match="keep"):
        removal.prunable(place, 0)
    held = leases.lease(place.repository / "golden", 3)
    with pytest.raises(TemporaryError, match="server"):
        removal.delete(place, "golden", 3, "")
    with pytest.raises(TemporaryError, match="server"):
        removal.delete(place, "golden", None, "")
    leases.end(held)


def test_a_deleted_version_and_a_deleted_model(capsys, place: Workspace, here: Path) -> None:
    shutil.copytree(place.root, here / "workspace")
    mlflow_store.database(here / "mlruns")
    copy = Workspace.existing(here / "workspace")
    repository = Repository(copy.repository)
    code, _, error = output(capsys, "delete", "golden@2", "--workspace", copy.root)
    assert code == 2
    assert "--yes" in error
    output(capsys, "delete", "golden@2", "--yes", "--reason", "a mistake", "--workspace", copy.root)
    assert repository.versions("golden") == [1, 3, 4]
    assert repository.history("golden")[-1]["reason"] == "a mistake"
    output(capsys, "delete", "golden", "--yes", "--workspace", copy.root)
    assert repository.models() == []
    assert "golden" not in (copy.repository / "models.config").read_text()
    # The numbers of deleted versions are not used again, and a new version is stable.
    release = Repository(copy.repository).publish(
        "golden", Repository(place.repository).path("golden", 1), {}
    )
    assert release.version == 5
    assert repository.stable("golden") == 5


def test_a_dry_run_trains_nothing(capsys, here: Path) -> None:
    data = golden.images(here / "data")
    (data / "level" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    wanted = ("train", TASK, "--data", data, "--name", "x", "--recipe", "cnn", "--dry-run", "--quiet")
    code, text, _ = output(capsys, *wanted, "--workspace", here / "workspace")
    assert code == 0
    assert "bad.png: truncated" in text
    assert "splits: train" in text
    assert [line.split()[0] for line in text.splitlines() if line.startswith(("level", "upright"))] == [
        "level",
        "upright",
    ]
    assert yaml.safe_load(text[text.index("task: ") :])["model"]["kind"] == "cnn"
    assert not (here / "workspace" / "runs").exists()
    _, text, _ = output(capsys, *wanted, "--json", "--workspace", here / "workspace")
    (shown,) = rows(text)
    assert shown["dataset"]["accepted"] == shown["dataset"]["found"] - 1
    assert [record["reason"] for record in shown["refused"]] == ["truncated"]


def test_a_validation_split_that_becomes_the_test_split_is_named(here: Path) -> None:
    from flows.steps.ingest import described

    card = {"found": 3, "accepted": 3, "quarantined": 0, "skipped": 0, "layout": "class-folders"}
    card |= {"splits": {"train": 1, "validation": 1, "test": 1}, "splits_given": ["train", "validation"]}
    lines = described(card, here)
    assert "validation split is used as the test split" in lines[1]
    assert "validation split is" not in described(card | {"splits_given": ["train", "test"]}, here)[1]
