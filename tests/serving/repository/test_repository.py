"""The repository: publishing, promoting, rolling back, verifying, keeping house."""

import getpass
import itertools
import json
import os
import shutil
import socket
import threading
from pathlib import Path

import pytest

from features.errors import DataError, NoInputError, StorageError, TemporaryError, UsageError
from serving.repository import leases
from serving.repository.repository import Repository
from serving.repository.version_names import MAX_VERSION, is_model_name, parse_version


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    folder = tmp_path / "candidate"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    (folder / "assets").mkdir()
    (folder / "assets" / "words.txt").write_bytes(b"a\nb\n")
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_publish_copies_hashes_and_promotes(repository, candidate):
    release = repository.publish("pets", candidate, {"task": "image-classification", "metrics": {"a": 1.5}})
    assert (release.model, release.version) == ("pets", 1)
    assert release.path == repository.root / "pets" / "1"
    assert (release.path / "assets" / "words.txt").read_bytes() == b"a\nb\n"
    assert release.manifest["metrics"] == {"a": 1.5}
    files = release.manifest["files"]
    assert sorted(files) == ["assets/words.txt", "saved_model.pb", "variables/variables.index"]
    # the sha256 of "graph" as coreutils gives it
    assert files["saved_model.pb"] == "eef93e1d14482804277fca0172464032d1a4fdbcc338524059fa1e861454ad4d"
    release.verify()
    assert repository.stable("pets") == 1
    assert [event["event"] for event in repository.history("pets")] == ["publish", "promote"]
    assert repository.models() == ["pets"]


def test_publish_without_promote_leaves_stable_and_config(repository, candidate):
    repository.publish("pets", candidate, {})
    repository.publish("pets", candidate, {}, promote=False)
    assert repository.versions("pets") == [1, 2]
    assert repository.stable("pets") == 1


def test_config_serves_stable_of_every_model(repository, candidate):
    repository.publish("pets", candidate, {})
    repository.publish("pets", candidate, {})
    repository.publish("birds", candidate, {})
    repository.publish("later", candidate, {}, promote=False)
    repository.rollback("pets", "worse in the field")
    for base, config in (("/models", _parse(repository)), (str(repository.root), repository.config())):
        models = {entry.name: entry for entry in config.model_config_list.config}
        assert sorted(models) == ["birds", "pets"]
        assert models["pets"].base_path == f"{base}/pets"
        assert list(models["pets"].model_version_policy.specific.versions) == [1]
        assert dict(models["pets"].version_labels) == {"stable": 1}
        assert models["pets"].model_platform == "tensorflow"


def _parse(repository: Repository):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    text = (repository.root / "models.config").read_text()
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


def _let_servers_follow(repository: Repository) -> None:
    """Let the time pass in which servers load what the file says, and write its next step."""
    os.utime(repository.root / "models.config", (0, 0))
    repository.write_config()


def _written(repository: Repository) -> tuple[list[int], dict[str, int]]:
    (entry,) = _parse(repository).model_config_list.config
    return list(entry.model_version_policy.specific.versions), dict(entry.version_labels)


def test_the_file_moves_a_label_only_to_a_version_that_servers_have_had_time_to_load(repository, candidate):
    repository.publish("pets", candidate, {})
    assert _written(repository) == ([1], {"stable": 1})
    repository.publish("pets", candidate, {})
    assert _written(repository) == ([1, 2], {"stable": 1})
    repository.write_config()
    assert _written(repository) == ([1, 2], {"stable": 1})
    _let_servers_follow(repository)
    assert _written(repository) == ([2], {"stable": 2})
    repository.promote("pets", 1, "trial", share=10)
    assert _written(repository) == ([2, 1], {"stable": 2})
    _let_servers_follow(repository)
    assert _written(repository) == ([2, 1], {"stable": 2, "canary": 1})
    # Its version is loaded already, but perhaps not the file that says so is read.
    repository.promote("pets", 1, "better")
    _let_servers_follow(repository)
    assert _written(repository) == ([1], {"stable": 1})
    repository.publish("pets", candidate, {})
    repository.publish("pets", candidate, {})
    _let_servers_follow(repository)
    # Two moves in a row: the file has not named version 4 before.
    assert _written(repository)[1] == {"stable": 1} or _written(repository) == ([4], {"stable": 4})
    _let_servers_follow(repository)
    assert _written(repository) == ([4], {"stable": 4})


def test_a_canary_stands_beside_the_stable_version_until_the_next_move(repository, candidate):
    for promoted in (True, False, True):
        repository.publish("pets", candidate, {"metrics": {"accuracy": 0.5}}, promote=promoted)
    assert repository.canary("pets") is None
    repository.promote("pets", 2, "try it", share=25, by="MLflow")
    trial = repository.canary("pets")
    assert (trial.version, trial.share, repository.stable("pets")) == (2, 25.0, 3)
    (entry,) = repository.config().model_config_list.config
    assert list(entry.model_version_policy.specific.versions) == [3, 2]
    assert dict(entry.version_labels) == {"stable": 3, "canary": 2}
    assert repository.live()[1] == {"pets": trial}
    assert 2 not in repository.prunable("pets", 1)
    with pytest.raises(UsageError, match="version 2 of model pets is the canary"):
        repository.delete("pets", 2, "x")

    assert repository.rollback("pets", "worse") == 3
    assert (repository.canary("pets"), repository.stable("pets")) == (None, 3)
    with pytest.raises(TemporaryError, match="no longer version 2"):
        repository.promote("pets", 2, "late", during=trial)
    repository.promote("pets", 2, "again", share=50)
    repository.promote("pets", 2, "good", during=repository.canary("pets"))
    assert (repository.canary("pets"), repository.stable("pets")) == (None, 2)
    assert repository.rollback("pets", "after all") == 3
    shown = [
        (event["event"], event["label"], event["previous"], event["version"], event.get("share"))
        for event in repository.history("pets")
        if event["event"] != "publish"
    ]
    assert shown[-5:] == [
        ("promote", "canary", None, 2, 25.0),
        ("rollback", "canary", 2, None, None),
        ("promote", "canary", None, 2, 50.0),
        ("promote", "stable", 3, 2, None),
        ("rollback", "stable", 2, 3, None),
    ]
    begun = repository.history("pets")[-5]
    assert (begun["by"], begun["metrics"]) == ("MLflow", {"accuracy": 0.5})
    assert repository.history("pets")[-1]["by"] == f"{getpass.getuser()}@{socket.gethostname()}"


def test_a_canary_needs_a_share_and_another_version_than_the_stable_one(repository, candidate):
    repository.publish("pets", candidate, {})
    repository.publish("pets", candidate, {}, promote=False)
    for share in (-1, 100.5):
        with pytest.raises(UsageError, match="not a percentage"):
            repository.promote("pets", 2, "x", share=share)
    with pytest.raises(UsageError, match="version 1 of model pets is the stable one"):
        repository.promote("pets", 1, "x", share=10)
    repository.publish("birds", candidate, {}, promote=False)
    with pytest.raises(NoInputError, match="no stable version"):
        repository.promote("birds", 1, "x", share=10)


def test_repair_ends_a_canary_whose_version_is_gone(repository, candidate):
    for _ in range(2):
        repository.publish("pets", candidate, {})
    repository.promote("pets", 1, "trial", share=10)
    shutil.rmtree(repository.path("pets", 1))
    assert repository.repair() == ["pets: ended the canary with missing version 1"]
    assert (repository.canary("pets"), repository.stable("pets")) == (None, 2)


def test_rollback_walks_back_and_promote_returns(repository, candidate):
    for _ in range(3):
        repository.publish("pets", candidate, {})
    assert repository.rollback("pets", "first") == 2
    assert repository.rollback("pets", "second") == 1
    with pytest.raises(NoInputError, match="no earlier stable"):
        repository.rollback("pets", "third")
    repository.promote("pets", 3, "fixed")
    assert repository.stable("pets") == 3
    moves = [
        (event["event"], event["version"], event.get("previous")) for event in repository.history("pets")
    ]
    assert moves[-3:] == [("rollback", 2, 3), ("rollback", 1, 2), ("promote", 3, 1)]


def test_a_publish_after_a_rollback_becomes_stable(repository, candidate):
    for _ in range(2):
        repository.publish("pets", candidate, {})
    repository.rollback("pets", "bad")
    assert repository.publish("pets", candidate, {}).version == 3
    assert repository.stable("pets") == 3


def test_promote_refuses_a_version_that_is_not_there(repository, candidate):
    repository.publish("pets", candidate, {})
    with pytest.raises(NoInputError, match="no version 9 of model pets"):
        repository.promote("pets", 9, "x")
    with pytest.raises(NoInputError, match="no model dogs"):
        repository.promote("dogs", 1, "x")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", ".hidden", "x" * 129, "a\nb", "é", "a\0b"])
def test_publish_refuses_names_that_are_no_model_names(repository, candidate, name):
    assert not is_model_name(name)
    with pytest.raises(UsageError, match="invalid model name"):
        repository.publish(name, candidate, {})


def test_publish_refuses_what_is_no_saved_model(repository, tmp_path):
    with pytest.raises(NoInputError, match="no SavedModel"):
        repository.publish("pets", tmp_path, {})


def test_publish_refuses_links(repository, candidate):
    (candidate / "assets" / "secret").symlink_to("/etc/hostname")
    with pytest.raises(DataError, match="secret cannot be published"):
        repository.publish("pets", candidate, {})
    assert repository.versions("pets") == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: _flip(path / "variables" / "variables.index"), "variables/variables.index changed"),
        (lambda path: (path / "assets" / "words.txt").unlink(), "assets/words.txt is missing"),
        (
            lambda path: (path / "assets" / "more.txt").write_text("x"),
            "assets/more.txt is not in the manifest",
        ),
    ],
)
def test_verify_names_the_damaged_file(repository, candidate, damage, words):
    """C4."""
    release = repository.publish("pets", candidate, {})
    damage(release.path)
    with pytest.raises(DataError, match=words):
        release.verify()


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1] ^= 1
    path.write_bytes(content)


def test_a_damaged_manifest_is_named(repository, candidate):
    release = repository.publish("pets", candidate, {})
    (release.path / "assets.extra" / "servable.json").write_text("{")
    with pytest.raises(DataError, match=r"servable\.json is damaged"):
        repository.release("pets", 1)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("0", 0), ("1", 1), ("10", 10), (str(MAX_VERSION), MAX_VERSION),
        ("001", None), ("+1", None), ("1_0", None), ("１", None), ("²", None), ("१२", None), ("-1", None),
        ("1.tmp", None), (str(2**63), None), ("9" * 30, None), ("latest", None),
        (" 1 ", None), ("1\n", None), ("", None),
    ],
)  # fmt: skip
def test_version_names(name, version):
    """E3."""
    assert parse_version(name) == version


def test_neighbours_are_passed_over_with_one_warning_each(repository, candidate, caplog):
    """E3."""
    repository.publish("pets", candidate, {})
    odd = ["001", "+1", "1_0", "１", "²", "-1", "1.tmp", str(2**63), "latest", "77"]
    for name in odd:
        (repository.root / "pets" / name).mkdir()
    (repository.root / "pets" / "5").write_text("a file")
    for _ in range(3):
        assert repository.versions("pets") == [1]
    named = [record for record in caplog.records if "is skipped" in record.message]
    assert len(named) == len(odd)


def test_an_empty_directory_with_the_next_number_is_not_published_over(repository, candidate):
    """M35: rename over an empty directory would succeed in silence."""
    repository.publish("pets", candidate, {})
    (repository.root / "pets" / "2").mkdir()
    assert repository.publish("pets", candidate, {}).version == 3


def test_numbers_are_not_used_again_after_deletion(repository, candidate):
    for _ in range(3):
        repository.publish("pets", candidate, {})
    repository.rollback("pets", "x")
    assert repository.prune("pets", keep=1) == []
    repository.promote("pets", 3, "x")
    assert repository.publish("pets", candidate, {}).version == 4
    assert repository.prune("pets", keep=1) == [1, 2]
    assert repository.versions("pets") == [3, 4]
    assert repository.publish("pets", candidate, {}).version == 5


def test_retention_spares_leased_stable_and_last_versions(repository, candidate):
    """E8."""
    for _ in range(5):
        repository.publish("pets", candidate, {})
    held = leases.lease(repository.root / "pets", 2)
    assert repository.prune("pets", keep=1) == [1, 3]
    leases.end(held)
    assert repository.prune("pets", keep=1) == [2]
    assert repository.versions("pets") == [4, 5]
    with pytest.raises(UsageError):
        repository.prune("pets", keep=0)


def test_a_lease_of_a_dead_server_does_not_count(repository, candidate):
    for _ in range(4):
        repository.publish("pets", candidate, {})
    child = os.fork()
    if child == 0:
        leases.lease(repository.root / "pets", 1)
        os._exit(0)
    os.waitpid(child, 0)
    assert repository.prune("pets", keep=1) == [1, 2]


def test_repair_follows_a_stable_version_that_vanished(repository, candidate):
    for _ in range(2):
        repository.publish("pets", candidate, {})
    (repository.root / "pets" / "2").rename(repository.root / "elsewhere")
    assert any("moved stable from missing version 2" in line for line in repository.repair())
    assert repository.stable("pets") == 1
    assert dict(repository.config().model_config_list.config[0].version_labels) == {"stable": 1}
    assert repository.repair() == []


def test_a_torn_history_line_is_passed_over_and_the_next_event_is_whole(repository, candidate):
    repository.publish("pets", candidate, {})
    path = repository.root / "pets" / ".servable" / "history.jsonl"
    with open(path, "ab") as file:
        file.write(b'{"at": "2026')
    repository.publish("pets", candidate, {})
    assert [event["event"] for event in repository.history("pets")] == ["publish", "promote"] * 2
    assert repository.stable("pets") == 2


def test_promotions_from_many_threads_are_all_recorded(repository, candidate):
    for _ in range(4):
        repository.publish("pets", candidate, {})
    before = len(repository.history("pets"))
    work = [threading.Thread(target=repository.promote, args=("pets", 1 + n % 4, "race")) for n in range(12)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    events = repository.history("pets")
    assert len(events) == before + 12
    moves = [event for event in events if event["event"] == "promote"]
    assert all(later["previous"] == earlier["version"] for earlier, later in itertools.pairwise(moves))
    _let_servers_follow(repository)
    assert list(_parse(repository).model_config_list.config[0].version_labels.values()) == [
        moves[-1]["version"]
    ]


def test_a_repository_that_cannot_be_written_says_so(tmp_path, candidate):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot write to the repository"):
        Repository(tmp_path / "file").publish("pets", candidate, {})


def test_the_manifest_is_readable_json(repository, candidate):
    release = repository.publish("pets", candidate, {"labels": ["chien", "猫"]})
    content = json.loads((release.path / "assets.extra" / "servable.json").read_text(encoding="utf-8"))
    assert content["labels"] == ["chien", "猫"]
    assert content["version"] == 1
