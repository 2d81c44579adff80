"""Transcripts as targets: how they are normalised, held against their sound, kept and numbered."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from features.datasets.dataset import Dataset
from features.decisions import Decisions
from features.errors import DataError
from features.ingest.ingest import ingest
from features.quarantine import RefusedError
from features.sounds.rules import TranscriptRules
from features.sources.files.candidates import Columns
from features.spec import AUDIO
from features.targets import transcript
from features.targets.target import Fitted, Gathered
from features.targets.transcript import TRANSCRIPT
from tests.faults.ingests import reasons

RATE = 8000


def read(*texts: str, **rules: object) -> list[str | RefusedError | None]:
    readings = TRANSCRIPT.read(texts, TranscriptRules(**rules), Decisions())
    return [readings[text] for text in texts]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("  Hello,\tWorld! ", "hello world"),
        ("it's well-known", "it's well-known"),
        ("'tis -5 % of it", "tis 5 of it"),
        ("cafe\u0301 ｆｕｌｌ", "café ｆｕｌｌ"),
        ("a\u200bb — c", "ab c"),
        ("日本語、です。", "日本語 です"),
        ("ЁЛКА", "ёлка"),
    ],
)
def test_punctuation_case_blanks_and_unicode_are_normalised(written: str, text: str) -> None:
    assert read(written, "Aa")[0] == text


def test_one_case_throughout_is_kept_and_a_mixture_recorded() -> None:
    assert read("P I T T S", "SIX") == ["P I T T S", "SIX"]
    decisions = Decisions()
    TRANSCRIPT.read(["Six", "TEN"], TranscriptRules(), decisions)
    assert "small letters" in str(next(iter(decisions)))
    assert read("Six", case="keep") == ["Six"]
    assert read("Six", case="upper") == ["SIX"]


def test_punctuation_may_be_kept() -> None:
    assert read("so, what?", punctuation="keep") == ["so, what?"]


@pytest.mark.parametrize("written", ["", " \t", "...", "\u200b", "¿?"])
def test_a_transcript_without_a_letter_is_refused(written: str) -> None:
    for punctuation in ("keep", "remove"):
        (refused,) = read(written, punctuation=punctuation)
        assert isinstance(refused, RefusedError)
        assert refused.reason == "empty_transcript"


@pytest.mark.parametrize(
    ("text", "units", "frames"),
    [("abc", "characters", 3), ("aab", "characters", 4), ("aaa", "characters", 5), ("a a b", "words", 4)],
)
def test_frames_that_ctc_needs_decide_what_a_sound_can_say(text: str, units: str, frames: int) -> None:
    """A repeated label needs a blank before it."""
    rules = TranscriptRules(frame_seconds=0.1, units=units)
    assert transcript.frames_needed(transcript.labels(text, units)) == frames
    assert TRANSCRIPT.fit(text, {"seconds": 0.1 * (frames - 1) + 0.01}, rules) == Fitted(text)
    refused = TRANSCRIPT.fit(text, {"seconds": 0.1 * (frames - 1) - 0.01}, rules)
    assert isinstance(refused, RefusedError)
    assert refused.reason == "too_long_for_sound"


def test_texts_are_numbered_by_an_alphabet_and_put_together_again() -> None:
    placed = transcript.place(["ab b", "c?"], ["a", "b", "c", " "], "characters")
    assert placed.tolist() == [[0, 1, 3, 1], [2, -1, -1, -1]]
    assert transcript.place(["one two", "three"], ["one", "two"], "words").tolist() == [[0, 1], [-1, -1]]
    for units in ("characters", "words"):
        assert transcript.joined(transcript.labels("one two", units), units) == "one two"
    assert TRANSCRIPT.misfits(placed, 5).tolist() == []
    assert TRANSCRIPT.misfits(placed, 4).tolist() == [0]
    assert TRANSCRIPT.misfits(np.array([[-1, -1]]), 5).tolist() == [0]


def recordings(folder: Path, texts: list[str], seconds: float = 1.0) -> Path:
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(len(texts)):
        samples = random.normal(0, 0.1, int(seconds * RATE)).astype(np.float32)
        soundfile.write(folder / f"{number:02}.wav", samples, RATE, subtype="PCM_16")
    table = {"file": [f"{number:02}.wav" for number in range(len(texts))], "text": texts}
    pd.DataFrame(table).to_csv(folder / "table.csv", index=False)
    return folder


def dataset_of(data: Path, **rules: object) -> Dataset:
    settings = TranscriptRules(
        **({"max_bad_fraction": 0.9, "decode_processes": 1, "sample_rate": RATE} | rules)
    )
    return ingest(
        data, raw=AUDIO, target=TRANSCRIPT, columns=Columns(), rules=settings, root=data.parent / "datasets"
    )


def test_a_table_of_transcripts_is_ingested_and_described(tmp_path: Path) -> None:
    texts = [f"take {['one', 'two', 'three'][number % 3]}" for number in range(20)]
    texts[3:6] = ["", "?!", "far too much to say within a single second of sound"]
    dataset = dataset_of(recordings(tmp_path / "data", texts), test_fraction=0.3)
    assert sorted(reasons(dataset).values()) == ["empty_transcript", "missing_value", "too_long_for_sound"]
    assert dataset.labels == ()
    assert dataset.card["target"] == "transcript"
    assert set(dataset.frame["target"]) == {"take one", "take two", "take three"}
    described = dataset.card["transcripts"]
    assert sum(part["words"] for part in described.values()) == 34
    assert TRANSCRIPT.encode(dataset.frame).tolist() == dataset.frame["target"].to_list()


def test_a_text_file_beside_each_sound_is_its_transcript(tmp_path: Path) -> None:
    texts = ["eins", "zwei", "drei"] * 6
    data = recordings(tmp_path / "data", texts)
    (data / "table.csv").unlink()
    for number, text in enumerate(texts):
        (data / f"{number:02}.txt").write_text(text + "\n", encoding="utf-8")
    (data / "07.txt").unlink()
    dataset = dataset_of(data, test_fraction=0.3)
    assert len(dataset.frame) == 17
    assert set(reasons(dataset).values()) == {"no_target_file"}
    for row in dataset.frame.itertuples():
        assert row.target == texts[int(row.name[:2])]


def test_labels_that_training_does_not_know_are_listed() -> None:
    card = TRANSCRIPT.summarise(["ab a", "cb"], ["train", "test"], [])["transcripts"]
    assert card["train"]["unknown_characters"] == {}
    assert card["test"]["unknown_characters"] == {"c": 1}
    assert card["test"]["unknown_words"] == {"cb": 1}


def test_no_transcript_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="no usable example"):
        TRANSCRIPT.check(Gathered([]))
