"""``servable predict`` of many inputs: folders, archives, patterns, tables, lists, URLs; rows with errors."""

import csv
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from flows import cli
from flows.queries.question import Question, answers
from serving.client.client import Client
from serving.server.server import Server
from tests.faults import corpus
from tests.flows.queries.answers.test_pictures import server as pictured
from tests.flows.queries.reading.test_downloads import running
from tests.flows.test_text_answers import server

__all__ = ["pictured", "server"]

COUNT = 12


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str], str]:
    """Run ``servable predict`` in this process: exit code, lines, standard error."""
    with pytest.raises(SystemExit) as left:
        cli.main(["predict", *map(str, arguments)])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return int(left.value.code or 0), captured.out.splitlines(), captured.err


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Write photos in folders, one of no known ending, and files that are no photos."""
    folder = tmp_path / "photos"
    for number in range(COUNT):
        path = folder / ("a" if number % 2 else "b/c") / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(corpus.encode(corpus.picture(number, 60, 40), "JPEG"))
    shutil.copy(folder / "a" / "01.jpg", folder / "a" / "photo")
    (folder / "notes.md").write_text("no photo")
    (folder / ".hidden.jpg").write_text("hidden")
    return folder


def one_by_one(server: Server, paths: list[Path]) -> list[np.ndarray]:
    with Client(server.target) as client:
        return [client.predict("points", image_bytes=[path.read_bytes()])["points"][0] for path in paths]


def listed(photos: Path) -> list[Path]:
    return sorted(path for path in photos.rglob("*") if path.suffix == ".jpg" and path.name[0] != ".")


def test_a_folder_is_answered_as_its_files_are_one_by_one(
    pictured: Server, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "answers.csv"
    code, lines, err = run(capsys, "points", photos, "--csv", out, "--target", pictured.target)
    assert (code, lines) == (0, []), err
    assert "1 file of other kinds skipped" in err
    rows = table(out)
    assert sorted(row["input"] for row in rows) == sorted(map(str, [*listed(photos), photos / "a" / "photo"]))
    found = {row["input"]: [float(row["left_eye_x"]), float(row["left_eye_y"])] for row in rows}
    for path, wanted in zip(listed(photos), one_by_one(pictured, listed(photos)), strict=True):
        np.testing.assert_allclose(found[str(path)], wanted[0], atol=1e-3)
    assert list(rows[0])[:4] == ["input", "left_eye_x", "left_eye_y", "left_eye_score"]
    assert list(rows[0])[-1] == "error"


def test_an_archive_a_pattern_and_a_table_stand_for_the_same_files(
    pictured: Server,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.make_archive("packed", "zip", "photos")
    names = [str(path.relative_to(tmp_path)) for path in listed(photos)]
    Path("some.csv").write_text("\n".join(["file,label", *(f"{name},x" for name in names)]))
    Path("odd.tsv").write_text("\n".join(["where\tfile", *(f"{name}\tnowhere" for name in names)]))
    where = ("--json", "--target", pictured.target)
    wanted = dict(zip(names, one_by_one(pictured, listed(photos)), strict=True))
    for sent in (["photos/**/*.jpg"], ["some.csv"], ["odd.tsv", "--input-column", "where"], ["packed.zip"]):
        code, lines, err = run(capsys, "points", *sent, *where)
        assert code == 0, err
        found = {
            one["input"].replace("packed.zip/", "photos/"): one["points"] for one in map(json.loads, lines)
        }
        assert set(wanted) <= set(found)
        for name, points in wanted.items():
            np.testing.assert_allclose(found[name], points, atol=1e-3)
    assert not list(tmp_path.glob("*/.lock"))


def test_what_cannot_be_answered_is_a_row_with_its_error_and_the_rest_goes_on(
    pictured: Server, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "a" / "03.jpg").write_text("no image")
    (photos / "a" / "05.jpg").write_bytes(b"")
    cut = (photos / "a" / "07.jpg").read_bytes()
    (photos / "a" / "07.jpg").write_bytes(cut[: len(cut) // 3])
    out = tmp_path / "answers.csv"
    code, _, err = run(
        capsys, "points", photos, tmp_path / "nosuch.jpg", "--csv", out, "--target", pictured.target
    )
    rows = {Path(row["input"]).name: row for row in table(out)}
    assert len(rows) == COUNT + 2
    failed = {name for name, row in rows.items() if row["error"]}
    assert failed >= {"03.jpg", "05.jpg", "nosuch.jpg"}
    assert failed <= {"03.jpg", "05.jpg", "07.jpg", "nosuch.jpg"}
    assert code == 65
    assert f"{len(failed)} of {COUNT + 2} inputs failed; first: " in err
    assert "empty: 0 bytes" in rows["05.jpg"]["error"]
    assert "refused by model points: " in rows["03.jpg"]["error"]
    assert "no such file" in rows["nosuch.jpg"]["error"]
    assert not any("{{" in row["error"] for row in rows.values())
    assert rows["03.jpg"]["left_eye_x"] == ""
    assert float(rows["00.jpg"]["left_eye_x"]) >= 0


def test_objects_have_a_row_each(pictured: Server, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = listed(photos)[:2]
    further = ("--input", "score_threshold=0", "--target", pictured.target)
    _, lines, _ = run(capsys, "boxes", *paths, "--csv", "-", *further)
    _, answered, _ = run(capsys, "boxes", *paths, "--json", *further)
    rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["input", "label", "score", "xmin", "ymin", "xmax", "ymax", "error"]
    wanted = [
        [one["input"], label, *map(str, (score, *box))]
        for one in map(json.loads, answered)
        for label, score, box in zip(one["labels"], one["scores"], one["boxes"], strict=True)
    ]
    assert [list(row.values())[:-1] for row in rows] == wanted
    _, lines, _ = run(capsys, "boxes", paths[0], "--csv", "-", "--input", "score_threshold=1", *further[2:])
    assert lines == ["input,label,score,xmin,ymin,xmax,ymax,error", f"{paths[0]},,,,,,,"]


def test_standard_input_is_one_file_or_names_files(
    pictured: Server, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = listed(photos)[:3]
    where = ("--json", "--target", pictured.target)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(paths[0].read_bytes())))
    code, (line,), err = run(capsys, "points", "-", *where)
    assert (code, json.loads(line)["input"]) == (0, "-"), err
    names = "\n".join(map(str, paths)) + "\n-\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(names.encode())))
    code, lines, err = run(capsys, "points", "-", *where)
    assert (code, [json.loads(line)["input"] for line in lines]) == (0, list(map(str, paths))), err


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "txt"])
def test_out_writes_what_its_ending_says(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    out = tmp_path / f"answers.{ending}"
    code, lines, err = run(capsys, "echo", "a b", "c", "--out", out, "--target", server.target)
    assert (code, lines) == (0, []), err
    if ending == "csv":
        assert [row["input"] for row in table(out)] == ["a b", "c"]
        assert list(table(out)[0]) == ["input", "label", "score", "error"]
    elif ending == "txt":
        assert [line.partition(":")[0] for line in out.read_text().splitlines()] == ["a b", "c"]
    else:
        text = out.read_text()
        found = json.loads(text) if ending == "json" else list(map(json.loads, text.splitlines()))
        assert [one["input"] for one in found] == ["a b", "c"]


def test_answers_that_nobody_gave_are_a_table_of_errors(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.txt").touch()
    code, lines, _ = run(capsys, "echo", tmp_path / "empty.txt", "--csv", "-", "--target", server.target)
    assert (code, lines[0]) == (65, "input,error")
    out = tmp_path / "none.json"
    run(capsys, "echo", tmp_path / "empty.txt", "--out", out, "--target", server.target)
    assert json.loads(out.read_text())[0]["input"] == str(tmp_path / "empty.txt")
    code, _, err = run(capsys, "echo", "a", "--csv", out, "--out", out, "--target", server.target)
    assert (code, "name the same file" in err) == (2, True)
    code, _, err = run(capsys, "echo", "a", "--csv", "-", "--json", "--target", server.target)
    assert (code, "both write to standard output" in err) == (2, True)


def test_a_table_of_texts_is_answered_row_by_row(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text('label,text,other\ngood,"a, b",zz\nbad,,x\nbad,c,y\n')
    where = ("--json", "--target", server.target)
    code, lines, _ = run(capsys, "echo", path, *where)
    first, gap, last = map(json.loads, lines)
    assert (first["input"], first["tokens"]) == (f"{path}:1", 4)
    assert (last["input"], last["tokens"]) == (f"{path}:3", 1)
    assert gap == {"input": f"{path}:2", "error": gap["error"]}
    assert "the row has no input" in gap["error"]
    assert code == 65
    code, lines, _ = run(capsys, "echo", path, "--input-column", "other", *where)
    assert [json.loads(line)["tokens"] for line in lines] == [2, 1, 1]
    path.write_text("x,y\n1,2\n")
    code, lines, err = run(capsys, "echo", path, *where)
    assert code == 65
    assert "cannot tell which column of reviews.csv is the input; got columns 'x', 'y'" in err
    assert "Add --input-column" in err


def test_urls_are_downloaded_where_they_may_be(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    with running() as web:
        url = f"http://127.0.0.1:{web.server_port}"
        where = ("--json", "--target", server.target)
        code, (line,), err = run(capsys, "echo", f"{url}/photo", *where)
        assert code == 77
        assert "not on the public internet" in json.loads(line)["error"]
        assert web.asked == []
        allowed = ("--allow-private-addresses", *where)
        code, lines, err = run(
            capsys, "echo", f"{url}/photo", f"{url}/missing", "--text", f"{url}/x", *allowed
        )
        answered, missing, typed = map(json.loads, lines)
        assert (answered["input"], answered["tokens"]) == (f"{url}/photo", len("photo"))
        assert "404 Not Found" in missing["error"]
        assert typed["tokens"] == len(f"{url}/x")
        assert code == 66, err


def test_no_input_is_answered_with_the_usage(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "echo", "--target", server.target)
    assert (code, err) == (2, 'error: no input. Usage: servable predict echo "TEXT"...\n')


def test_near_names_are_told(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "ecko", "a", "--target", server.target)
    assert (code, err) == (66, "error: No model 'ecko'. Did you mean 'echo'?\n")
    code, _, err = run(capsys, "pets", "a", "--target", server.target)
    assert (code, err) == (66, "error: No model 'pets'. Models: echo\n")
    code, _, err = run(capsys, "echo", "a", "--version", 7, "--target", server.target)
    assert (code, err) == (66, "error: No version 7 of model 'echo'; available: 1\n")


def test_an_iteration_that_is_left_early_ends_its_threads(server: Server) -> None:
    found = answers(Question("echo", ["a"] * 200), server.target)
    assert next(found)["tokens"] == 1
    found.close()
