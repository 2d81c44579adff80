"""`servable verify` and a server's loader on a release of which one file was flipped, added or removed."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows import cli
from serving import errors
from serving.engine import servable
from serving.repository.release import MANIFEST
from serving.repository.repository import Repository
from tests.trained import Trained


@pytest.fixture
def copy(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a published model, in a workspace of its own that the environment names."""
    root = tmp_path / "workspace"
    shutil.copytree(trained.workspace.repository / "golden" / "1", root / "repository" / "golden" / "1")
    shutil.copytree(
        trained.workspace.repository / "golden" / ".servable", root / "repository" / "golden" / ".servable"
    )
    monkeypatch.setenv("SERVABLE_WORKSPACE", str(root))
    return root / "repository" / "golden" / "1"


def verify(capsys: pytest.CaptureFixture[str], subject: object, *options: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        cli.main(["verify", str(subject), *options])
    captured = capsys.readouterr()
    return int(left.value.code or 0), captured.out, captured.err


def test_a_release_as_it_was_published_passes(copy: Path, capsys) -> None:
    files = len([path for path in copy.rglob("*") if path.is_file()]) - 1
    for subject in ("golden", "golden@1", copy):
        code, out, err = verify(capsys, subject)
        assert (code, out) == (0, "")
        assert err.strip() == f"golden version 1: all {files} files agree with manifest and provenance.json"
    code, out, _ = verify(capsys, "golden", "--json")
    report = {
        "model": "golden",
        "version": 1,
        "path": str(copy),
        "files": files,
        "stated": True,
        "signed": False,
        "damage": [],
    }
    assert (code, json.loads(out)) == (0, report)
    servable.check("golden", 1, copy)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


#: What is done to the release, and what is said of it.
CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights flipped": (
        lambda folder: flip(folder / "variables" / "variables.data-00000-of-00001"),
        "variables/variables.data-00000-of-00001 changed",
    ),
    "graph flipped": (lambda folder: flip(folder / "saved_model.pb"), "saved_model.pb changed"),
    "card flipped": (lambda folder: flip(folder / "MODEL_CARD.md"), "MODEL_CARD.md changed"),
    "statement flipped": (lambda folder: flip(folder / "provenance.json"), "provenance.json changed"),
    "file added": (
        lambda folder: (folder / "assets" / "more.txt").write_bytes(b"x"),
        "assets/more.txt is not in the manifest",
    ),
    "index removed": (
        lambda folder: (folder / "variables" / "variables.index").unlink(),
        "variables/variables.index is missing",
    ),
    "statement removed": (lambda folder: (folder / "provenance.json").unlink(), "provenance.json is missing"),
    "manifest removed": (lambda folder: (folder / MANIFEST).unlink(), f"{MANIFEST} lists no files"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_one_changed_added_or_removed_file_is_refused(copy: Path, capsys, change: str) -> None:
    strike, words = CHANGES[change]
    (copy / "assets").mkdir(exist_ok=True)
    strike(copy)
    code, out, _ = verify(capsys, "golden")
    assert (code, out.strip()) == (65, words)
    with pytest.raises(errors.DataLoss, match=re.escape(words)):
        servable.check("golden", 1, copy)


def edit_manifest(folder: Path, **changes: object) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))


def test_a_manifest_that_was_changed_along_with_the_files_is_refused(copy: Path, capsys) -> None:
    """Whoever changes weights and their hash in the manifest must change the statement as well."""
    weights = copy / "variables" / "variables.data-00000-of-00001"
    flip(weights)
    files = Repository(copy.parent.parent).release("golden", 1).manifest["files"]
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    edit_manifest(copy, files=files | {"variables/variables.data-00000-of-00001": digest})
    code, out, _ = verify(capsys, "golden")
    words = "variables/variables.data-00000-of-00001 is not what provenance.json states"
    assert (code, out.strip()) == (65, words)
    with pytest.raises(errors.DataLoss, match=re.escape(words)):
        servable.check("golden", 1, copy)


def test_better_figures_in_the_manifest_are_refused(copy: Path, capsys) -> None:
    edit_manifest(copy, metrics={"test/accuracy": 1.0})
    code, out, _ = verify(capsys, "golden")
    assert (code, out.strip()) == (65, "the manifest is not what provenance.json states")
    with pytest.raises(errors.DataLoss, match="the manifest is not what"):
        servable.check("golden", 1, copy)


def test_a_release_published_again_has_no_stale_statement(copy: Path, tmp_path: Path, capsys) -> None:
    """A copy of it under another name, made by hand, is held against its manifest alone."""
    release = Repository(tmp_path / "other").publish("second", copy, {})
    assert not (release.path / "provenance.json").exists()
    code, _, err = verify(capsys, release.path)
    assert code == 0
    assert "it has no provenance.json" in err


def test_what_is_neither_a_model_nor_a_folder_is_named(copy: Path, capsys) -> None:
    code, _, err = verify(capsys, "nosuch")
    assert code == 66
    assert "nosuch" in err
    assert "golden" in err
