"""I26: archives are unpacked as they are, or refused whole with nothing left behind."""

import gzip
import io
import random
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from features.errors import DataError, StorageError
from features.sources.archives import ArchiveRules, unpack

FILES = {"photos/a/1.jpg": b"one", "photos/b/2.jpg": bytes(100_000), "photos/b/\u00e4\u00f6.jpg": b"umlauts"}


def tar_of(*members: tuple[str, bytes | str, bytes], content: dict[str, bytes] | None = None) -> bytes:
    """Make a tar of plain files, then members (name, type, data or link target)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as packed:
        for name, data in (FILES if content is None else content).items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
        for name, value, kind in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if isinstance(value, str):
                info.linkname = value
                packed.addfile(info)
            else:
                info.size = len(value)
                packed.addfile(info, io.BytesIO(value))
    return out.getvalue()


def zip_of(*members: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in [*FILES.items(), *members]:
            packed.writestr(name, data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def special(name: str, mode: int, system: int = 3) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = system
    info.external_attr = (mode | 0o644) << 16
    return info


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, but for the lock file."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if path.name != ".lock"
    }


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("d.zip", zip_of()),
        ("d.tar", tar_of()),
        ("d.tar.gz", gzip.compress(tar_of())),
        ("d.TGZ", gzip.compress(tar_of())),
    ],
)
def test_plain_archives_are_unpacked_once(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    folder = unpack(tmp_path / name, tmp_path / "scratch")
    assert {key: value for key, value in snapshot(folder).items() if value is not None} == FILES
    before = (folder / "photos/a/1.jpg").stat().st_ino
    (tmp_path / f"copy-{name}").write_bytes(data)
    assert unpack(tmp_path / f"copy-{name}", tmp_path / "scratch") == folder
    assert (folder / "photos/a/1.jpg").stat().st_ino == before
    assert [path.name for path in (tmp_path / "scratch").iterdir() if path.name != ".lock"] == [folder.name]


def test_windows_separators_and_dot_names(tmp_path: Path) -> None:
    dos = special("photos\\c\\3.jpg", 0, system=0)
    dos.external_attr = 0
    (tmp_path / "d.zip").write_bytes(zip_of((dos, b"three"), ("./photos/./4.jpg", b"four")))
    found = snapshot(unpack(tmp_path / "d.zip", tmp_path / "scratch"))
    assert found["photos/c/3.jpg"] == b"three"
    assert found["photos/4.jpg"] == b"four"


def test_links_inside_the_archive(tmp_path: Path) -> None:
    data = tar_of(
        ("photos/link.jpg", "a/1.jpg", tarfile.SYMTYPE),
        ("photos/a/hard.jpg", "photos/a/1.jpg", tarfile.LNKTYPE),
    )
    (tmp_path / "d.tar").write_bytes(data)
    folder = unpack(tmp_path / "d.tar", tmp_path / "scratch")
    assert (folder / "photos/link.jpg").readlink() == Path("a/1.jpg")
    assert (folder / "photos/a/hard.jpg").read_bytes() == b"one"
    assert (folder / "photos/a/hard.jpg").stat().st_nlink == 1


def pax_bomb() -> bytes:
    """A tar whose extended header alone inflates to 64 MiB."""
    header = tarfile.TarInfo("photos/x")
    header.type = tarfile.XHDTYPE
    header.size = 64 << 20
    return header.tobuf(tarfile.USTAR_FORMAT) + bytes(header.size) + bytes(1024)


def crowd(count: int) -> bytes:
    """A zip whose directory lists a million entries, as cheaply as they come."""
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * count
    return directory + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(directory), 0, 0)


def encrypted() -> bytes:
    """A zip whose first member says that it is encrypted, in both of its headers."""
    data = bytearray(zip_of())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    return bytes(data)


def lying() -> bytes:
    """A zip whose member declares ten bytes and holds 32 MiB."""
    data = bytearray(zip_of(("photos/big.jpg", bytes(32 << 20))))
    place = data.rindex(b"PK\1\2")
    struct.pack_into("<L", data, place + 24, 10)
    return bytes(data)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "up.zip": (lambda: zip_of(("../evil.jpg", b"x")), "leads out"),
    "deep-up.zip": (lambda: zip_of(("photos/../../evil.jpg", b"x")), "leads out"),
    "absolute.zip": (lambda: zip_of(("/tmp/evil.jpg", b"x")), "absolute"),
    "drive.zip": (lambda: zip_of(("C:\\evil.jpg", b"x")), "absolute"),
    "dos-up.zip": (lambda: zip_of((special("photos\\..\\..\\evil.jpg", 0, 0), b"x")), "leads out"),
    "link.zip": (lambda: zip_of((special("photos/link", stat.S_IFLNK), b"../../../etc/passwd")), "link"),
    "fifo.zip": (lambda: zip_of((special("photos/pipe.jpg", stat.S_IFIFO), b"")), "special file"),
    "nested.zip": (lambda: zip_of(("photos/more.tar.gz", b"x")), "archive inside"),
    "file-and-folder.zip": (lambda: zip_of(("photos/a", b"x")), "collides"),
    "long-name.zip": (lambda: zip_of((f"photos/{'x' * 300}.jpg", b"x")), "longer than 255"),
    "encrypted.zip": (encrypted, "encrypted"),
    "ratio.zip": (lambda: zip_of(("photos/zeros.jpg", bytes(200 << 20))), "more than"),
    "lying.zip": (lying, "more than|cannot be read"),
    "crowd.zip": (lambda: crowd(1_000_000), "more than 200,000 members"),
    "empty.zip": (lambda: b"", "too short"),
    "cut.zip": (lambda: zip_of()[:-40], "cannot be read"),
    "no.zip": (lambda: b"this is no archive, whatever its name may say", "cannot be read"),
    "up.tar": (lambda: tar_of(("../evil.jpg", b"x", tarfile.REGTYPE)), "leads out"),
    "absolute.tar": (lambda: tar_of(("/tmp/evil.jpg", b"x", tarfile.REGTYPE)), "absolute"),
    "symlink-out.tar": (lambda: tar_of(("photos/l", "../../etc", tarfile.SYMTYPE)), "link"),
    "symlink-absolute.tar": (lambda: tar_of(("photos/l", "/etc/passwd", tarfile.SYMTYPE)), "link"),
    "symlink-detour.tar": (lambda: tar_of(("photos/l", "a/../../../etc", tarfile.SYMTYPE)), "link"),
    "through-link.tar": (
        lambda: tar_of(("photos/l", "a", tarfile.SYMTYPE), ("photos/l/x.jpg", b"x", tarfile.REGTYPE)),
        "collides",
    ),
    "hardlink-out.tar": (lambda: tar_of(("photos/h", "../../etc/passwd", tarfile.LNKTYPE)), "hard link"),
    "device.tar": (lambda: tar_of(("photos/null", b"", tarfile.CHRTYPE)), "special file"),
    "fifo.tar": (lambda: tar_of(("photos/pipe", b"", tarfile.FIFOTYPE)), "special file"),
    "twice.tar": (lambda: tar_of(("photos/a/1.jpg", b"other", tarfile.REGTYPE)), "twice"),
    "nested.tar": (lambda: tar_of(("photos/x.zip", b"x", tarfile.REGTYPE)), "archive inside"),
    "bomb.tgz": (lambda: gzip.compress(tar_of(("z", bytes(200 << 20), tarfile.REGTYPE))), "more than"),
    "header-bomb.tgz": (lambda: gzip.compress(pax_bomb()), "header"),
    "cut.tar": (lambda: tar_of()[:3000], "cannot be read"),
    "cut-at-member.tar": (lambda: tar_of()[:1024], "end mark"),
    "damaged-header.tar": (lambda: tar_of()[:1024] + b"x" * 512 + tar_of()[1536:], "damaged header"),
    "cut.tgz": (
        lambda: gzip.compress(tar_of(content={"x.jpg": random.Random(0).randbytes(9999)}))[:-99],
        "cannot",
    ),
    "no.tgz": (lambda: b"this is no archive either", "cannot be read"),
    "empty.tar": (lambda: b"", "cannot be read"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused_whole(tmp_path: Path, name: str) -> None:
    make, word = HOSTILE[name]
    (tmp_path / name).write_bytes(make())
    before = snapshot(tmp_path)
    with pytest.raises(DataError, match=word) as caught:
        unpack(tmp_path / name, tmp_path / "scratch")
    assert caught.value.exit_code == 65
    assert name in str(caught.value)
    assert {key: value for key, value in snapshot(tmp_path).items() if key != "scratch"} == before
    assert not Path("/tmp/evil.jpg").exists()


@pytest.mark.parametrize(("members", "names"), [(2, "more than 2 members"), (3, None)])
def test_members_are_limited(tmp_path: Path, members: int, names: str | None) -> None:
    (tmp_path / "d.tar").write_bytes(tar_of())
    if names is None:
        unpack(tmp_path / "d.tar", tmp_path / "scratch", ArchiveRules(members=members))
    else:
        with pytest.raises(DataError, match=names):
            unpack(tmp_path / "d.tar", tmp_path / "scratch", ArchiveRules(members=members))


def test_bytes_are_limited(tmp_path: Path) -> None:
    (tmp_path / "d.zip").write_bytes(zip_of())
    with pytest.raises(DataError, match="more than 99,000 bytes"):
        unpack(tmp_path / "d.zip", tmp_path / "scratch", ArchiveRules(total_bytes=99_000))


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "d.tar").write_bytes(tar_of())
    folder = unpack(tmp_path / "d.tar", tmp_path / "scratch")
    stale = folder.rename(folder.with_name(f".{folder.name}.partial"))
    (stale / "photos/a/1.jpg").write_bytes(b"half")
    assert snapshot(unpack(tmp_path / "d.tar", tmp_path / "scratch"))["photos/a/1.jpg"] == b"one"
    assert not stale.exists()


def test_a_full_disk_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    """The file-size limit of a child stands for a full disk."""
    (tmp_path / "d.tar").write_bytes(tar_of())
    code = (
        "import resource, sys; from pathlib import Path; from features.sources.archives import unpack\n"
        "from features.errors import ServableError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try: unpack(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except ServableError as error: print(error); sys.exit(error.exit_code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "d.tar", tmp_path / "scratch"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == StorageError.exit_code, done.stderr
    assert "Free disk space" in done.stdout
    assert snapshot(tmp_path / "scratch") == {}


@pytest.fixture(autouse=True)
def _no_evil() -> Iterator[None]:
    yield
    assert not Path("/tmp/evil.jpg").exists()
