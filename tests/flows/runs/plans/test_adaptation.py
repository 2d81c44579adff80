"""A plan that leaves settings to the training split, and the default recipe where a module is at hand."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from features.datasets.survey import survey
from features.errors import ConfigError
from features.ingest.ingest import ingest
from features.settings import Survey
from features.texts.featurizer import TextFeaturizerSettings
from flows import launch
from flows.runs.plans import defaults, plan, usage
from flows.runs.plans.request import Request
from models.training.settings import LoopSettings

TASK = "audio-classification"
HANDLE = "https://tfhub.dev/google/yamnet/1"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve clips of four seconds at 8 kHz."""
    folder, random = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    for number in range(12):
        path = folder / "ab"[number % 2] / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, random.normal(0, 0.1, 32_000), 8000, subtype="PCM_16")
    return folder


def request(clips: Path, workspace: Path, *overrides: str, recipe: str | None = "cnn") -> Request:
    return Request(TASK, str(clips), "x", recipe, overrides, workspace=str(workspace))


def test_a_plan_is_adapted_to_its_training_split(clips: Path, tmp_path: Path) -> None:
    open_plan = plan.resolve(request(clips, tmp_path))
    dataset = ingest(
        clips,
        raw=open_plan.task.raw,
        columns=open_plan.columns,
        rules=open_plan.rules,
        root=tmp_path / "datasets",
    )
    found = survey(dataset, open_plan.rules)
    assert found.examples == dataset.size("train")
    assert set(found.measures["seconds"]) == {4.0}
    settled = open_plan.adapted(dataset)
    # Three windows of 2 s, one second apart; nothing above 4 kHz.
    expected = {"seconds": 2.0, "hop_length": 512, "n_fft": 1024, "fmax": 4000.0, "n_mels": 48}
    assert {name: settled.recipe["featurizer"][name] for name in expected} == expected
    passes = {"epochs": 50, "average": 10}
    assert {name: settled.recipe["training"][name] for name in passes} == passes
    assert sorted(settled.differing(open_plan)) == sorted(
        f"{section}.{name}={value}"
        for section, decided in (("featurizer", expected), ("training", passes))
        for name, value in decided.items()
    )
    assert settled.adapted(dataset) == settled
    assert settled.key(dataset.fingerprint) != open_plan.key(dataset.fingerprint)
    assert launch.preview(request(clips, tmp_path))["recipe"] == settled.recipe
    given = plan.resolve(request(clips, tmp_path, "seconds=1", "epochs=3")).adapted(dataset)
    assert (given.recipe["featurizer"]["seconds"], given.training.epochs) == (1.0, 3)


@pytest.mark.parametrize(("examples", "passes"), [(10, 50), (400, 50), (2000, 20), (100_000, 8)])
def test_passes_show_about_as_many_examples(examples: int, passes: int) -> None:
    assert LoopSettings(epochs="auto").adapted(Survey(examples)).epochs == passes
    assert LoopSettings(epochs=7).adapted(Survey(examples)).epochs == 7


@pytest.mark.parametrize(("settings", "average"), [({}, 10), ({"epochs": 12}, 2), ({"epochs": 4}, 1)])
def test_the_last_fifth_of_the_passes_is_averaged(settings: dict[str, int], average: int) -> None:
    settled = LoopSettings(**{"epochs": "auto"} | settings, average="auto").adapted(Survey(400))
    assert settled.average == average
    assert LoopSettings(average=3).adapted(Survey(400)).average == 3


@pytest.mark.parametrize(
    ("tokens", "characters", "buckets"),
    [("words", 1000, 20_000), ("words", 200_000, 0), ("characters", 1000, 0), ("blanks", 100_000, 20_000)],
)
def test_words_of_a_small_split_are_spelt(tokens: str, characters: int, buckets: int) -> None:
    split = Survey(100, measures={"characters": np.full(100, characters)})
    settings = TextFeaturizerSettings(tokens=tokens, subwords="auto")
    assert settings.adapted(split).subwords == buckets
    assert TextFeaturizerSettings(subwords=7).adapted(split).subwords == 7


def test_a_mistake_names_all_that_a_setting_takes(clips: Path, tmp_path: Path) -> None:
    for mistake in ("featurizer.seconds=0", "featurizer.seconds=long"):
        with pytest.raises(ConfigError, match=r"featurizer\.seconds;.* or Input should be 'auto'"):
            usage.check(request(clips, tmp_path, mistake))


def test_features_of_a_module_at_hand_are_the_default(clips: Path, tmp_path: Path) -> None:
    unnamed = request(clips, tmp_path, recipe=None)
    assert defaults.chosen(unnamed) == "cnn"
    assert "--recipe yamnet" in defaults.remark(unnamed)
    module = tmp_path / "hub" / hashlib.sha1(HANDLE.encode()).hexdigest()
    module.mkdir(parents=True)
    (module / "saved_model.pb").touch()
    assert defaults.chosen(unnamed) == plan.resolve(unnamed).recipe["name"] == "yamnet"
    assert defaults.remark(unnamed).endswith("--recipe cnn trains a network from scratch")
    named = request(clips, tmp_path)
    assert (defaults.chosen(named), defaults.remark(named)) == ("cnn", "")


def test_a_module_that_the_request_names_is_meant(clips: Path, tmp_path: Path) -> None:
    unnamed = request(clips, tmp_path, "model.backbone=elsewhere", recipe=None)
    assert defaults.chosen(unnamed) == "yamnet"
    other = Request("text-classification", str(clips), "x", workspace=str(tmp_path))
    assert (defaults.chosen(other), defaults.remark(other)) == ("cnn", "")
