"""Somebody with a CSV file and recordings: train on both, predict the table, diagnose a sound, export."""

import csv
import shutil
import zipfile
from pathlib import Path

import pandas as pd

from tests import golden
from tests.walks.walk import Walk, small, walking


def test_a_table_and_sounds(tmp_path: Path) -> None:
    with walking(tmp_path) as walk:
        _write(walk)
        _train(walk)
        _predict(walk)
        _diagnose(walk)
        _export(walk)


def _write(walk: Walk) -> None:
    """Lay out the data as the quick start does."""
    table = pd.read_csv(golden.rows(walk.path("rows")) / "rows.csv").rename(columns={"class": "left"})
    table.to_csv(walk.path("customers.csv"), index=False)
    table.drop(columns="left").to_csv(walk.path("new.csv"), index=False)
    clips = sorted(golden.sounds(walk.path("clips")).glob("*/*"))
    lines = [f"clips/{path.parent.name}/{path.name},{path.parent.name}" for path in clips]
    walk.path("clips.csv").write_text("\n".join(["file,label", *lines]) + "\n")
    shutil.copy(next(path for path in clips if path.suffix == ".wav"), walk.path("new.wav"))


def _train(walk: Walk) -> None:
    page = "docs/quickstart.md"
    walk.do(
        page,
        "servable train tabular-classification --data customers.csv --name churn --target-column left",
        r"churn version 1 is published",
        more=small("tabular-classification"),
    )
    walk.do(
        page,
        "servable train audio-classification --data clips.csv --name sounds",
        r"96 .* found = 96 accepted",
        more=small("audio-classification"),
    )


def _predict(walk: Walk) -> None:
    walk.start("docs/quickstart.md", "servable serve")
    walk.do("docs/quickstart.md", "servable predict churn new.csv --csv answers.csv")
    answers = list(csv.DictReader(walk.path("answers.csv").read_text().splitlines()))
    true = pd.read_csv(walk.path("customers.csv"))["left"].astype(str)
    right = sum(row["label"] == label for row, label in zip(answers, true, strict=True))
    assert right > 0.8 * len(true)
    own = walk.path("clips.csv").read_text().splitlines()[1].split(",")[1]
    walk.do("docs/quickstart.md", "servable predict sounds new.wav", rf"new\.wav: {own} ")


def _diagnose(walk: Walk) -> None:
    walk.do(
        "README.md",
        "servable diagnose pets photo.jpg",
        "all stages agree",
        own={"pets": "sounds", "photo.jpg": "new.wav"},
        more=f"--target 127.0.0.1:{walk.place.ports['8500']}",
    )
    walk.path("answer.json").write_text('{"scores": [0.1, 0.9, 0.3]}')
    walk.do(
        "README.md",
        "servable diagnose pets photo.jpg",
        r"first difference: .*; likely cause: ",
        own={"pets": "sounds", "photo.jpg": "new.wav"},
        more="--answer answer.json --no-server",
    )


def _export(walk: Walk) -> None:
    walk.do(
        "docs/serving.md",
        "servable export pets --format zip",
        "its answers are identical",
        own={"pets": "churn"},
    )
    with zipfile.ZipFile(walk.path("churn-1.zip")) as archive:
        assert any(name.endswith("saved_model.pb") for name in archive.namelist())
