"""``servable predict`` for music: the sentence, the lists, MIDI and the drawn piano roll.

The network is a small one, untrained, whose threshold lets some of what it says pass for notes.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from features.formats import midi
from features.sounds.augmentation.notes import NoteAugmentationSettings
from features.sounds.rules import NoteRules
from features.targets.notes import NOTES
from flows import cli
from flows.queries.question import sentence
from models.export import export
from models.network import Network
from models.task import Blueprint
from models.tasks import music_transcription
from models.tasks.music_transcription import MUSIC_TRANSCRIPTION, ConstantQSettings, ModelSettings
from models.training import determinism
from serving.client.client import Client
from serving.config import Options
from serving.server.server import Server

LABELS = tuple(NOTES.names([], []))


def small() -> Network:
    determinism.fix(0)
    model = {"kind": "cnn", "filters": 4, "channels": 4, "dilations": [1]}
    blueprint = Blueprint(
        rules=NoteRules(),
        featurizer=ConstantQSettings(seconds=1.0),
        model=ModelSettings.model_validate(model),
        augmentation=NoteAugmentationSettings(),
        epochs=1,
        labels=LABELS,
        hub=Path(),
    )
    network = music_transcription.build(blueprint)
    network.model.get_layer("thresholds").logits.assign([-6.3, -3.0, -3.0])
    return network


@pytest.fixture(scope="module")
def network() -> Network:
    return small()


@pytest.fixture(scope="module")
def functions(network: Network) -> dict[str, Any]:
    """The signatures of the network itself."""
    return export.signatures(network, MUSIC_TRANSCRIPTION, LABELS)


@pytest.fixture(scope="module")
def server(
    network: Network, functions: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("served") / "piano"
    base.mkdir()
    export.export(network, MUSIC_TRANSCRIPTION, LABELS, base / "1", warmup=(), functions=functions)
    with Server(Options(port=0, model_name="piano", model_base_path=base)) as running:
        yield running


@pytest.fixture
def take(tmp_path: Path) -> Path:
    """Write three seconds of two tones at another sample rate, in stereo."""
    time = np.arange(3 * 22_050) / 22_050
    tones = np.where(time < 1.5, np.sin(2 * np.pi * 440 * time), np.sin(2 * np.pi * 261.6 * time))
    soundfile.write(tmp_path / "take.flac", 0.3 * np.stack([tones, tones], 1), 22_050)
    return tmp_path / "take.flac"


def run(server: Server, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        cli.main(["predict", "piano", *map(str, arguments), "--target", server.target])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return int(left.value.code or 0), captured.out, captured.err


def test_notes_are_listed_written_as_midi_and_drawn(
    server: Server, take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(server, capsys, take, "--json", "--out", tmp_path / "new" / "take.mid")
    assert code == 0
    answer = json.loads(out)
    count = answer["count"]
    assert count > 0
    assert all(len(answer[name]) == count for name in ("onsets", "offsets", "pitches", "velocities"))
    assert np.shape(answer["roll"]) == (answer["frames"], 88)
    written = midi.read((tmp_path / "new" / "take.mid").read_bytes())
    assert [note.pitch for note in written] == answer["pitches"]
    np.testing.assert_allclose([note.onset for note in written], answer["onsets"], atol=1e-3)
    np.testing.assert_allclose([note.offset for note in written], answer["offsets"], atol=2e-3)
    code, out, _ = run(server, capsys, take, "--out", tmp_path / "roll.png")
    assert code == 0
    assert out.startswith(f"{take}: {count:,} note")
    with Image.open(tmp_path / "roll.png") as drawn:
        assert drawn.width > drawn.height > 300
        assert len(set(drawn.convert("L").tobytes())) > 10


def test_what_cannot_be_written_is_told(
    server: Server, take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(server, capsys, take, "--out", tmp_path / "take.docx")
    assert code == 2
    assert "the ending .docx" in err
    code, _, err = run(server, capsys, take, take, "--out", tmp_path / "take.mid")
    assert code == 2
    assert "one example" in err


def test_a_sentence_tells_the_first_notes() -> None:
    answer = {
        "input": "take.wav",
        "onsets": [0.5] * 12,
        "offsets": [1.25] * 12,
        "pitches": [60] * 12,
        "velocities": [64.0] * 12,
    }
    said = sentence(answer)
    assert said.startswith("take.wav: 12 notes: C4 0.50 to 1.25 s; C4")
    assert said.endswith("; and 2 more")
    silent = {"input": "a", "onsets": [], "offsets": [], "pitches": [], "velocities": []}
    assert sentence(silent) == "a: 0 notes: silence"


def test_samples_are_answered_as_their_file_is_and_long_takes_as_short_ones(
    server: Server, functions: dict[str, Any]
) -> None:
    dice = np.random.default_rng(0)
    short, long = (dice.uniform(-0.3, 0.3, seconds * 16_000).astype(np.float32) for seconds in (1, 20))
    samples = np.zeros((2, len(long)), np.float32)
    samples[0, : len(short)], samples[1] = short, long
    with Client(server.target, timeout=600) as client:
        alone = client.predict("piano", {"samples": long[None]}, signature="from_samples")
        both = client.predict("piano", {"samples": samples}, signature="from_samples")
    count = int(alone["count"][0])
    assert int(both["count"][1]) == count > 0
    for name in ("onsets", "offsets", "pitches", "velocities"):
        np.testing.assert_allclose(both[name][1, :count], alone[name][0, :count], rtol=1e-5)
    np.testing.assert_array_equal(both["roll"][1], alone["roll"][0])
    assert int(functions["from_samples"](samples=samples)["count"][1]) == count
