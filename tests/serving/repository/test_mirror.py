"""A repository in an object store, on a server that speaks S3: never half a version is seen."""

from pathlib import Path

import pytest

from features.errors import DataError, UnavailableError
from features.storage.objects import ObjectStore
from serving.repository.labels.mirrored_labels import OBJECT, Labels, live
from serving.repository.mirror import Follower, push
from serving.repository.repository import Repository
from tests.object_store import Bucket

FILES = ("assets/words.txt", "saved_model.pb", "variables/variables.index")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    publish(made, b"first")
    return made


def publish(repository: Repository, graph: bytes) -> None:
    folder = repository.root.parent / "candidate"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(graph + name.encode())
    repository.publish("pets", folder, {"task": "image-classification"})


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def versions(base: Path) -> list[int]:
    return sorted(int(path.name) for path in base.iterdir() if path.is_dir())


def follower(bucket: Bucket, folder: Path) -> Follower:
    return Follower(f"{bucket.url}/models/pets", folder)


def interrupt(patch: pytest.MonkeyPatch, after: int) -> None:
    """Let uploads fail after a number of objects."""
    put, sent = ObjectStore.put, []

    def some(self, path, name):
        if len(sent) == after:
            raise UnavailableError("the connection is gone")
        sent.append(name)
        put(self, path, name)

    patch.setattr(ObjectStore, "put", some)


def test_a_version_appears_by_its_last_object_however_often_a_push_is_interrupted(
    repository, bucket, tmp_path, monkeypatch
):
    url, base = f"{bucket.url}/models", tmp_path / "copies"
    whole = content(repository.path("pets", 1))
    for after in range(len(whole)):
        with monkeypatch.context() as patch:
            interrupt(patch, after)
            with pytest.raises(UnavailableError):
                list(push(repository, url))
        assert len(bucket.names()) == after
        follower(bucket, base).follow()
        assert content(base) == {}, f"seen after {after} objects"
    assert list(push(repository, url)) == ["pets 1: sent", "pets: stable 1"]
    follower(bucket, base).follow()
    assert content(base / "1") == whole
    assert sorted(path.name for path in base.iterdir()) == ["1", "labels.json"]
    assert list(push(repository, url)) == []
    assert "saved_model.pb" in whole
    assert len(whole) + 1 == len(bucket.names()) > 4


def test_a_download_that_is_interrupted_shows_nothing(repository, bucket, tmp_path, monkeypatch):
    list(push(repository, f"{bucket.url}/models"))
    get, base = ObjectStore.get, tmp_path / "copies"

    def some(self, name, path):
        if name.endswith("variables.index"):
            raise UnavailableError("the connection is gone")
        get(self, name, path)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "get", some)
        with pytest.raises(UnavailableError):
            follower(bucket, base).follow()
    assert list(base.iterdir()) == []
    follower(bucket, base).follow()
    assert content(base / "1") == content(repository.path("pets", 1))


def test_a_version_that_is_not_as_its_manifest_says_is_not_taken(repository, bucket, tmp_path, caplog):
    list(push(repository, f"{bucket.url}/models"))
    bucket.put("models/pets/1/variables/variables.index", b"flipped")
    follower(bucket, tmp_path / "copies").follow()
    assert content(tmp_path / "copies") == {}
    assert "pets/1 is not served: variables/variables.index changed" in caplog.text


def test_what_is_deleted_goes_and_nothing_goes_with_an_empty_store(repository, bucket, tmp_path):
    publish(repository, b"second")
    url, base = f"{bucket.url}/models", tmp_path / "copies"
    assert list(push(repository, url)) == ["pets 1: sent", "pets 2: sent", "pets: stable 2"]
    follower(bucket, base).follow()
    repository.delete("pets", 1, "old")
    assert list(push(repository, url)) == ["pets 1: deleted"]
    assert not any(key.startswith("models/pets/1/") for key in bucket.names())
    follower(bucket, base).follow()
    assert versions(base) == [2]
    for key in bucket.names():
        bucket.delete(key)
    follower(bucket, base).follow()
    assert versions(base) == [2]
    assert Labels.read((base / OBJECT).read_bytes()) == Labels(2)


def test_another_version_of_the_same_number_is_refused(repository, bucket, tmp_path):
    list(push(repository, f"{bucket.url}/models"))
    other = Repository(tmp_path / "other" / "repository")
    publish(other, b"other")
    with pytest.raises(DataError, match="has another version 1"):
        list(push(other, f"{bucket.url}/models"))


def labels_at(base: Path) -> tuple[dict[str, int], list[int]]:
    """Return the labels of the copy and the versions to serve, as a server is told."""
    (entry,) = live("pets", base)[0].model_config_list.config
    return dict(entry.version_labels), list(entry.model_version_policy.specific.versions)


def test_labels_follow_promotions_rollbacks_and_canaries(repository, bucket, tmp_path):
    url, base = f"{bucket.url}/models", tmp_path / "copies"
    publish(repository, b"second")
    list(push(repository, url))
    follower(bucket, base).follow()
    assert labels_at(base) == ({"stable": 2}, [2])
    moves = (
        (lambda: repository.rollback("pets", "worse"), "pets: stable 1", ({"stable": 1}, [1])),
        (
            lambda: repository.promote("pets", 2, "again", share=12.5),
            "pets: stable 1, canary 2 at 12.5 %",
            ({"stable": 1, "canary": 2}, [1, 2]),
        ),
        (lambda: repository.promote("pets", 2, "better"), "pets: stable 2", ({"stable": 2}, [2])),
    )
    for move, line, expected in moves:
        move()
        assert list(push(repository, url)) == [line]
        follower(bucket, base).follow()
        assert labels_at(base) == expected
        canaries = live("pets", base)[1]
        assert canaries == ({} if (canary := repository.canary("pets")) is None else {"pets": canary})
    assert list(push(repository, url)) == []


def test_labels_never_name_a_version_that_is_not_there(repository, bucket, tmp_path, monkeypatch, caplog):
    url, base = f"{bucket.url}/models", tmp_path / "copies"
    list(push(repository, url))
    follower(bucket, base).follow()
    publish(repository, b"second")
    with monkeypatch.context() as patch:
        interrupt(patch, 3)
        with pytest.raises(UnavailableError):
            list(push(repository, url))
    follower(bucket, base).follow()
    assert labels_at(base) == ({"stable": 1}, [1])
    list(push(repository, url))
    bucket.put("models/pets/2/variables/variables.index", b"flipped")
    repository.delete("pets", 1, "old")
    list(push(repository, url))
    follower(bucket, base).follow()
    # The new version is damaged: the old one stays in service, though the store has it no longer.
    assert (labels_at(base), versions(base)) == (({"stable": 1}, [1]), [1])
    assert "stable 2 is not followed" in caplog.text


def test_a_store_without_labels_is_followed_to_its_newest_version(repository, bucket, tmp_path):
    list(push(repository, f"{bucket.url}/models"))
    follower(bucket, tmp_path).follow()
    bucket.delete("models/pets/labels.json")
    follower(bucket, tmp_path).follow()
    assert labels_at(tmp_path) == ({}, [])
    repository.remove("pets", "no longer needed")
    assert list(push(repository, f"{bucket.url}/models")) == ["pets 1: deleted"]
    assert bucket.names() == []
    bucket.put("models/pets/labels.json", b"[]")
    with pytest.raises(DataError, match=r"cannot read labels\.json"):
        follower(bucket, tmp_path).follow()
