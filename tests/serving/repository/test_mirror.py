"""A repository in an object store, on a server that speaks S3: never half a version is seen."""

from pathlib import Path

import pytest

from features.errors import DataError, UnavailableError
from features.storage.objects import ObjectStore
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
    assert list(push(repository, url)) == ["pets 1: sent"]
    follower(bucket, base).follow()
    assert content(base / "1") == whole
    assert [path.name for path in base.iterdir()] == ["1"]
    assert list(push(repository, url)) == []
    assert "saved_model.pb" in whole
    assert len(whole) == len(bucket.names()) > 3


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
    assert list(push(repository, url)) == ["pets 1: sent", "pets 2: sent"]
    follower(bucket, base).follow()
    repository.delete("pets", 1, "old")
    assert list(push(repository, url)) == ["pets 1: deleted"]
    assert all(key.startswith("models/pets/2/") for key in bucket.names())
    follower(bucket, base).follow()
    assert [path.name for path in base.iterdir()] == ["2"]
    for key in bucket.names():
        bucket.delete(key)
    follower(bucket, base).follow()
    assert [path.name for path in base.iterdir()] == ["2"]


def test_another_version_of_the_same_number_is_refused(repository, bucket, tmp_path):
    list(push(repository, f"{bucket.url}/models"))
    other = Repository(tmp_path / "other" / "repository")
    publish(other, b"other")
    with pytest.raises(DataError, match="has another version 1"):
        list(push(other, f"{bucket.url}/models"))
