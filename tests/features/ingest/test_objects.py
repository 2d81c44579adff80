"""Sources in an object store, on a server that speaks S3: what is downloaded, again, and refused."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from features.errors import ConfigError, DataError, NoInputError, UnavailableError, UsageError
from features.ingest.ingest import ingest
from features.ingest.rules import IngestRules
from features.sources.files import object_copies
from features.sources.files.candidates import Columns
from features.sources.files.object_copies import Copies
from features.spec import IMAGE
from features.storage import objects
from tests.object_store import Bucket


def photo(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 255 - shade, shade // 2)).save(stream, "PNG")
    return stream.getvalue()


PHOTOS = {f"{label}/{shade}.png": photo(shade) for shade in range(8) for label in ("ab"[shade % 2],)}


def filled(bucket: Bucket) -> Bucket:
    for name, content in PHOTOS.items():
        bucket.put(f"photos/{name}", content)
    bucket.put("photos/", b"")  # what consoles make of an empty folder
    bucket.put("photos-of-others/a/1.png", photo(99))
    return bucket


def take(place: str | Path, root: Path, **rules: object) -> "object":
    return ingest(place, raw=IMAGE, columns=Columns(), rules=IngestRules(**rules), root=root)


@pytest.fixture
def downloads(monkeypatch) -> list[str]:
    """The names of the objects that are downloaded."""
    names, get = [], objects.ObjectStore.get
    monkeypatch.setattr(objects.ObjectStore, "get", lambda self, *a: (names.append(a[0]), get(self, *a))[1])
    return names


def test_a_folder_of_objects_is_the_dataset_that_the_same_files_are(bucket, tmp_path, downloads):
    for name, content in PHOTOS.items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(content)
    url = f"{filled(bucket).url}/photos"
    one, other = take(url, tmp_path / "one"), take(tmp_path / "photos", tmp_path / "other")
    assert one.fingerprint == other.fingerprint
    assert sorted(one.frame["name"]) == sorted(PHOTOS)
    assert one.read(0) in PHOTOS.values()
    assert sorted(downloads) == sorted(PHOTOS)
    downloads.clear()
    bucket.put("photos/a/0.png", photo(200))
    bucket.delete("photos/b/1.png")
    copies = Copies(tmp_path / "one" / object_copies.FOLDER)
    copies.path(f"{url}/a/2.png").write_bytes(b"spoilt")
    again = take(url, tmp_path / "one")
    assert sorted(downloads) == ["a/0.png", "a/2.png"]  # changed there, and here
    assert sorted(again.frame["name"]) == sorted(PHOTOS.keys() - {"b/1.png"})
    assert copies.path(f"{url}/a/2.png").read_bytes() == PHOTOS["a/2.png"]


def test_a_table_names_objects_beside_it_or_by_their_urls(bucket, tmp_path, downloads):
    filled(bucket)
    rows = [f"{name},{name[0]}" for name in PHOTOS] + ["a/none.png,a", "../photos-of-others/a/1.png,a"]
    bucket.put("photos/labels.csv", "\n".join(["file,label", *rows]).encode())
    beside = take(f"{bucket.url}/photos/labels.csv", tmp_path / "one", max_bad_fraction=0.5)
    assert sorted(beside.frame["name"]) == sorted(PHOTOS)
    assert beside.card["reasons"] == {"missing": 1, "outside_folder": 1}
    assert sorted(downloads) == sorted(
        ["", *(f"photos/{name}" for name in PHOTOS)]
    )  # the table, and what it names
    table = tmp_path / "labels.csv"
    named = [f"{bucket.url}/photos/{name},{name[0]}" for name in PHOTOS]
    table.write_text(
        "\n".join(["file,label", *named, f"{bucket.url}/none.png,a", f"{bucket.url}/../x.png,a"])
    )
    by_url = take(table, tmp_path / "other", max_bad_fraction=0.5)
    assert by_url.fingerprint == beside.fingerprint
    assert sorted(by_url.frame["name"]) == sorted(f"{bucket.url}/photos/{name}" for name in PHOTOS)
    refused = [json.loads(line) for line in by_url.quarantine.read_text().splitlines()]
    assert sorted(one["reason"] for one in refused) == ["missing", "outside_folder"]


def test_what_cannot_be_downloaded_is_said(bucket, tmp_path, monkeypatch, object_store):
    with pytest.raises(NoInputError, match=r"nothing is there at s3://.*/photos"):
        take(f"{bucket.url}/photos", tmp_path)
    with pytest.raises(NoInputError, match="nothing is there at s3://no-such-bucket"):
        take("s3://no-such-bucket/photos", tmp_path)
    with pytest.raises(UsageError, match="cannot read the address s3://"):
        take("s3://", tmp_path)
    bucket.put("odd/a/../x.png", b"")
    with pytest.raises(DataError, match=r"a/\.\./x\.png' cannot be a file"):
        take(f"{bucket.url}/odd", tmp_path)
    bucket.put("both/a", b"")
    bucket.put("both/a/x.png", b"")
    with pytest.raises(DataError, match="both/a is an object, and a folder of others"):
        take(f"{bucket.url}/both", tmp_path)
    with pytest.raises(ConfigError, match="gs:// needs the package gcsfs"):
        take("gs://bucket/photos", tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match=f"cannot reach {bucket.url}/photos"):
        take(f"{bucket.url}/photos", tmp_path)
