"""Unpack an archive of examples safely, or refuse it whole.

Members are only ever written as plain files and folders, below a new folder that is renamed when all is
well. Links are checked and made last, so that nothing is written through them, and ingest never follows
them. What a member declares is checked before it is written, and what it really holds while it is.
"""

import contextlib
import functools
import gzip
import hashlib
import mmap
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from features.decisions import Decisions
from features.errors import DataError, StorageError
from features.names import escape
from features.sources.archive_names import AUTO, NameReader
from features.spec import Progress, silent
from features.storage.locks import exclusive

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

_NESTED = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_BLOCK = 1 << 20
#: Below this, an archive may be as well compressed as it likes.
_HARMLESS = 16 << 20
#: tarfile takes a member's extended header in one piece.
_LARGEST_READ = 8 << 20
_EXPECTED = "plain files and folders inside the archive's own folder, within the limits of docs/ingest.md"
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    zlib.error,
    struct.error,
    NotImplementedError,
    ValueError,
    RuntimeError,
    OverflowError,
)


@dataclass(frozen=True)
class ArchiveRules:
    """What an archive may hold, and how its names are read.

    Attributes:
        members: entries, folders included.
        total_bytes: of all members, unpacked.
        ratio: unpacked bytes for each byte of the archive, once past 16 MiB.
        names: encoding of names for which the archive declares none, or ``auto``.
    """

    members: int = 200_000
    total_bytes: int = 100 << 30
    ratio: int = 100
    names: str = AUTO


@dataclass(frozen=True)
class Member:
    """One entry: name for display, path as parts, kind (file, folder, symlink), declared size, reader."""

    name: str
    parts: tuple[str, ...]
    kind: str
    size: int
    open: Callable[[], IO[bytes]]
    target: str = ""


class _RuleError(Exception):
    """The archive breaks a rule."""


def is_archive(path: Path) -> bool:
    """Return whether the file's name ends like an archive that can be unpacked."""
    return path.name.lower().endswith(SUFFIXES)


def unpack(
    archive: Path,
    scratch: Path,
    rules: ArchiveRules | None = None,
    progress: Progress = silent,
    decisions: Decisions | None = None,
) -> Path:
    """Unpack an archive into a folder below scratch that is named by the archive's content.

    Args:
        archive: a file whose name ends with one of SUFFIXES.
        scratch: folder to unpack into; an archive of the same content is unpacked once.
        rules: what it may hold; by default ArchiveRules().
        progress: called with stage ``unpack`` and the bytes written.
        decisions: where to record how names were read.

    Returns:
        The folder.

    Raises:
        DataError: the archive breaks a rule or is damaged; nothing of it is left behind.
        StorageError: the disk is full, or writing fails.
        TemporaryError: another process unpacks into scratch.
    """
    rules = rules or ArchiveRules()
    names = NameReader(rules.names)
    folder = scratch / _content_name(archive, rules.names)
    if folder.is_dir():
        _read_names(archive, rules, names)
    else:
        _unpack_aside(archive, folder, rules, names, progress)
    if decisions is not None:
        names.decide(archive.name, decisions)
    return folder


def _unpack_aside(
    archive: Path, folder: Path, rules: ArchiveRules, names: NameReader, progress: Progress
) -> None:
    scratch = folder.parent
    aside = scratch / f".{folder.name}.partial"
    with exclusive(scratch / ".lock", f"unpacking into {scratch}"):
        shutil.rmtree(aside, ignore_errors=True)  # Left by a process that was killed.
        try:
            aside.mkdir(parents=True)
            _unpack(archive, aside, rules, names, progress)
            if not folder.is_dir():
                aside.rename(folder)
        except OSError as error:
            raise StorageError(
                f"cannot unpack {archive} into {scratch}",
                got=error.strerror or error,
                todo="free disk space or name another workspace, then repeat",
            ) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _content_name(archive: Path, names: str) -> str:
    """Name the folder of an archive by what decides its content."""
    with open(archive, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(names.encode())
    return digest.hexdigest()[:16]


def _read_names(archive: Path, rules: ArchiveRules, names: NameReader) -> None:
    """Look at the names alone of an archive that was unpacked before."""
    for _ in _members(archive, _Guard(archive, rules), names):
        pass


def _members(archive: Path, guard: "_Guard", names: NameReader) -> Iterator[Member]:
    is_zip = archive.name.lower().endswith(".zip")
    return (_zip_members if is_zip else _tar_members)(archive, guard, names)


def _unpack(archive: Path, folder: Path, rules: ArchiveRules, names: NameReader, progress: Progress) -> None:
    guard = _Guard(archive, rules)
    try:
        _write(_members(archive, guard, names), folder, guard, progress)
    except _RuleError as refusal:
        raise DataError(
            f"archive {archive} is refused",
            got=str(refusal),
            expected=_EXPECTED,
            todo="unpack it by hand if you trust it, and pass the folder",
        ) from None
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # The disk's fault, not the archive's.
        raise DataError(
            f"archive {archive} cannot be read",
            got=f"{type(error).__name__}: {error}",
            expected="an undamaged .zip, .tar, .tar.gz or .tgz",
            todo="download or pack it again",
        ) from error


def _write(members: Iterator[Member], folder: Path, guard: "_Guard", progress: Progress) -> None:
    links = []
    for member in members:
        guard.admit(member)
        path = folder.joinpath(*member.parts)
        with _nothing_in_the_way(member):
            (path if member.kind == "folder" else path.parent).mkdir(parents=True, exist_ok=True)
        if member.kind == "symlink":
            links.append((member, path))
        elif member.kind == "file":
            guard.write(member, path)
            progress("unpack", guard.written, None)
    for member, path in links:
        with _nothing_in_the_way(member):
            path.symlink_to(member.target)


@contextlib.contextmanager
def _nothing_in_the_way(member: Member) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise _RuleError(f"the member {member.name}, which collides with another") from None


class _Guard:
    """Keep count of what an archive declares and writes, and refuse what it may not hold."""

    def __init__(self, archive: Path, rules: ArchiveRules) -> None:
        self.rules = rules
        self.most = min(rules.total_bytes, max(_HARMLESS, archive.stat().st_size * rules.ratio))
        self._seen: dict[tuple[str, ...], str] = {}
        self._declared = 0
        self.written = 0

    def admit(self, member: Member) -> None:
        """Refuse a member by what it declares."""
        if len(self._seen) >= self.rules.members:
            raise _RuleError(f"more than {self.rules.members:,} members")
        before = self._seen.setdefault(member.parts, "")
        if before and (before, member.kind) != ("folder", "folder"):
            raise _RuleError(f"the member {member.name} twice")
        self._seen[member.parts] = member.kind
        if member.kind == "file" and member.name.lower().endswith(_NESTED):
            raise _RuleError(f"an archive inside the archive ({member.name})")
        if member.kind == "symlink":
            _check_target(member)
        self._declared += member.size
        self._check(self._declared)

    def write(self, member: Member, path: Path) -> None:
        """Copy a member to a new file, counting what really comes."""
        with member.open() as source, _nothing_in_the_way(member), open(path, "xb") as file:
            while block := source.read(_BLOCK):
                self.written += len(block)
                self._check(self.written)
                file.write(block)

    def _check(self, total: int) -> None:
        if total > self.most:
            raise _RuleError(f"more than {self.most:,} bytes when unpacked")


def _parts(name: str) -> tuple[str, ...]:
    """Split a member's name; refuse every name that could leave the folder."""
    display_name = escape(name[:200])
    if "\0" in name or name.startswith("/") or name[1:3] in (":/", ":\\"):
        raise _RuleError(f"the absolute or malformed name {display_name}")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise _RuleError(f"the name {display_name}, which leads out of the archive")
    if any(len(os.fsencode(part)) > 255 for part in parts):
        raise _RuleError(f"a name longer than 255 bytes ({display_name[:60]}...)")
    return parts


def _check_target(member: Member) -> None:
    """Refuse a symbolic link whose target, read as text, lies outside the archive."""
    depth = -1 if member.target.startswith("/") or "\0" in member.target else len(member.parts) - 1
    for part in member.target.split("/"):
        if depth >= 0:
            depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
    if depth < 0 or not member.target:
        raise _RuleError(f"the link {member.name} to {escape(member.target[:200])!r}, outside the archive")


# -- zip ------------------------------------------------------------------------------------------


def _zip_members(archive: Path, guard: _Guard, names: NameReader) -> Iterator[Member]:
    _refuse_crowd(archive, guard.rules.members)
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            name = names.zip_name(info)
            parts, display_name = _parts(name), escape(name[:200])
            if info.flag_bits & 0x1:
                raise _RuleError(f"the encrypted member {display_name}")
            kind = _zip_kind(info, name)
            target = os.fsdecode(packed.open(info).read(4096)) if kind == "symlink" else ""
            if parts:
                yield Member(
                    display_name, parts, kind, info.file_size, functools.partial(packed.open, info), target
                )


def _zip_kind(info: zipfile.ZipInfo, name: str) -> str:
    mode = stat.S_IFMT(info.external_attr >> 16)
    if name.endswith("/") or mode == stat.S_IFDIR:
        return "folder"
    if mode in (0, stat.S_IFREG):
        return "file"
    if mode == stat.S_IFLNK:
        return "symlink"
    raise _RuleError(f"the device or other special file {escape(name[:200])}")


def _refuse_crowd(archive: Path, limit: int) -> None:
    """Count the entries of the central directory before zipfile makes an object of each."""
    if archive.stat().st_size < 22:
        raise zipfile.BadZipFile("the file is too short to be an archive")
    with open(archive, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        end = view.rfind(b"PK\5\6", max(0, len(view) - 22 - 0xFFFF))
        if end < 0 or end + 22 > len(view):
            raise zipfile.BadZipFile("the end of the archive is missing")
        size = struct.unpack_from("<I", view, end + 12)[0]
        place = max(0, end - size) if size != 0xFFFFFFFF else 0
        for _ in range(limit + 1):
            place = view.find(b"PK\1\2", place, end) + 4
            if place < 4:
                return
    raise _RuleError(f"more than {limit:,} members")


# -- tar ------------------------------------------------------------------------------------------


class _Bounded:
    """A seekable stream that refuses to be read too far, or too much at once."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._most = stream, most
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > _LARGEST_READ:
            raise _RuleError(f"a header of {size:,} bytes")
        content = self._stream.read(size)
        if self.tell() > self._most:
            raise _RuleError(f"more than {self._most:,} bytes when unpacked")
        return content


def _tar_members(archive: Path, guard: _Guard, names: NameReader) -> Iterator[Member]:
    with _open_tar(archive) as raw:
        stream = _Bounded(raw, 2 * guard.most + 4 * _HARMLESS)
        with tarfile.open(  # type: ignore[call-overload]
            fileobj=stream, mode="r:", encoding=names.tar_encoding
        ) as packed:
            for info in packed:
                name = names.tar_name(info.name)
                parts, display_name = _parts(name), escape(name[:200])
                kind = _tar_kind(info, display_name)
                opener = functools.partial(_open_tar_member, packed, info, display_name)
                if parts:
                    yield Member(display_name, parts, kind, info.size, opener, info.linkname)
            _require_end(packed, stream)


def _open_tar(archive: Path) -> IO[bytes]:
    return (
        archive.open("rb") if archive.name.lower().endswith(".tar") else cast(IO[bytes], gzip.open(archive))
    )


def _tar_kind(info: tarfile.TarInfo, display_name: str) -> str:
    if info.isfile() or info.islnk():
        return "file"
    if info.isdir():
        return "folder"
    if info.issym():
        return "symlink"
    raise _RuleError(f"the device or other special file {display_name}")


def _open_tar_member(packed: tarfile.TarFile, info: tarfile.TarInfo, display_name: str) -> IO[bytes]:
    try:
        content = packed.extractfile(info)  # A hard link reads the member it names.
    except KeyError:
        content = None
    if content is None:
        raise _RuleError(
            f"the hard link {display_name} to {escape(info.linkname[:200])}, outside the archive"
        )
    return content


def _require_end(packed: tarfile.TarFile, stream: _Bounded) -> None:
    """Refuse an archive cut or damaged between two members, which tarfile takes for a whole one."""
    stream.seek(packed.offset)
    block = stream.read(tarfile.BLOCKSIZE)
    if block != bytes(tarfile.BLOCKSIZE):
        fault = "a damaged header" if len(block) == tarfile.BLOCKSIZE else "no end mark: it is cut"
        raise tarfile.ReadError(f"after its last sound member the archive has {fault}")
