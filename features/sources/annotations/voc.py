"""Pascal VOC as a source: images, and for each an XML file beside it or in a folder beside its own."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from features.decisions import Decisions
from features.names import counted, escape, printable, stem_of, suffix_of
from features.quarantine import RefusedError
from features.sources.annotations import voc_file
from features.sources.annotations.annotation import Annotation
from features.sources.files import folders, splits
from features.sources.files.candidates import Candidate, Columns, Entry, Rejected, Skipped, Source, label_of
from features.sources.files.selection import Selection
from features.sources.files.splits import SetLists

#: XML files that are opened to find one of Pascal VOC.
_TRIED = 20
#: Folders of images that are looked into first.
_USUAL = ("jpegimages", "images", "imgs", "img", "image")


def find(root: bytes, shown: str, selection: Selection, columns: Columns) -> Source | None:
    """Make a source of a folder with Pascal VOC's files somewhere in it; None where there are none.

    Args:
        root: absolute path of the folder.
        shown: what messages call it.
        selection: the images that are meant, and whether links are followed.
        columns: what to do with an image that has no XML, and the folder of the images.

    Raises:
        OSError: root cannot be read.
    """
    suffixes = selection.raw.suffixes | {".xml"}
    both = Selection(replace(selection.raw, suffixes=suffixes), selection.follow_symlinks)
    tree = folders.unlabelled(root, shown, both)
    annotated = (entry for entry in tree if isinstance(entry, Candidate) and _is_xml(entry))
    if not any(_is_voc(entry) for entry, _ in zip(annotated, range(_TRIED), strict=False)):
        return None
    decisions = Decisions()
    described = printable(f"Pascal VOC in {shown}: boxes")
    decisions.add("annotations", "", "Pascal VOC", "XML files with <annotation>")

    def scan() -> Iterator[Entry]:
        yield from _Scan(root, columns, decisions).entries(tree)

    return Source("voc", described, root, (), (), scan, decisions=decisions)


def _is_xml(candidate: Candidate) -> bool:
    return suffix_of(candidate.link or candidate.path or b"") == ".xml"


def _is_voc(candidate: Candidate) -> bool:
    try:
        return voc_file.read(candidate.path or b"") is not None
    except RefusedError:
        return True


@dataclass
class _File:
    """An annotation file and the images it may be of: by the name it gives, and by its own."""

    relative: bytes
    annotation: Annotation
    by_name: bytes | None
    by_stem: bytes | None
    named: bool

    @property
    def image(self) -> bytes | None:
        return self.by_name or self.by_stem


@dataclass
class _Scan:
    """One pass over a folder."""

    root: bytes
    columns: Columns
    decisions: Decisions
    images: dict[bytes, Candidate] = field(default_factory=dict)
    names: dict[bytes, dict[bytes, bytes]] = field(default_factory=lambda: defaultdict(dict))
    stems: dict[bytes, dict[bytes, bytes]] = field(default_factory=lambda: defaultdict(dict))
    places: dict[bytes, Sequence[bytes]] = field(default_factory=dict)

    def entries(self, tree: Source) -> Iterator[Entry]:
        """Yield every image with its annotation, and what cannot be used."""
        written: list[bytes] = []
        others: list[Entry] = []
        for entry in tree:
            if not isinstance(entry, Candidate) or entry.path is None:
                others.append(entry)
                continue
            relative = entry.link or os.path.relpath(entry.path, self.root)
            written.append(relative) if _is_xml(entry) else self._index(relative, entry)
        lists = splits.lists(self.root, written)
        yield from (entry for entry in others if not lists.holds(entry))
        read = [self._read(relative) for relative in written]
        faults = [one for one in read if not isinstance(one, _File)]
        yield from (one for one in faults if one is not None)
        spoilt = {self._by_stem(one.relative) for one in faults if isinstance(one, Rejected)}
        claims = self._claims([one for one in read if isinstance(one, _File)])
        yield from self._orphans(claims.pop(None, ()))
        yield from self._images(claims, spoilt, lists)

    def _index(self, relative: bytes, candidate: Candidate) -> None:
        folder, name = os.path.split(relative)
        self.images[relative] = candidate
        self.names[folder][name] = relative
        self.stems[folder].setdefault(stem_of(name), relative)

    def _read(self, relative: bytes) -> _File | Skipped | Rejected:
        """Read an XML file and find its image."""
        try:
            voc = voc_file.read(os.path.join(self.root, relative))
        except RefusedError as refusal:
            return Rejected(relative, refusal.reason, refusal.detail)
        if voc is None:
            return Skipped(escape(relative), "unsupported_extension", ".xml")
        name = os.fsencode(voc.filename.replace("\\", "/").rpartition("/")[2])
        folder = os.path.split(relative)[0]
        tried = ((self.names, name), (self.stems, name), (self.stems, stem_of(name)))
        matches = (self._lookup(folder, index, key) for index, key in tried)
        by_name = next(filter(None, matches), None)
        return _File(relative, voc.annotation, by_name if name else None, self._by_stem(relative), bool(name))

    def _by_stem(self, relative: bytes) -> bytes | None:
        return self._lookup(os.path.split(relative)[0], self.stems, stem_of(relative))

    def _lookup(
        self, folder: bytes, index: Mapping[bytes, Mapping[bytes, bytes]], name: bytes
    ) -> bytes | None:
        matches = (index[place][name] for place in self._places(folder) if name in index.get(place, {}))
        return next(matches, None)

    def _places(self, folder: bytes) -> Sequence[bytes]:
        """List the folders of images that belong to a folder of XML files, the likeliest first."""
        if folder not in self.places:
            self.places[folder] = _near(folder, list(self.names), os.fsencode(self.columns.table.folder))
        return self.places[folder]

    def _claims(self, files: Sequence[_File]) -> dict[bytes | None, list[_File]]:
        """Return the annotation files of each image; several that name the same count for their own."""
        named: dict[bytes | None, list[_File]] = defaultdict(list)
        for one in files:
            named[one.image].append(one)
        claims: dict[bytes | None, list[_File]] = defaultdict(list)
        others = []
        for one in files:
            alone = len(named[one.image]) == 1 or one.by_stem is None
            image = one.image if alone else one.by_stem
            claims[image].append(one)
            others += [one] if one.named and image not in (None, one.by_name) else []
        if others:
            choice = f"{counted(len(others), 'file')} read for the image of their own name"
            how = "no image, or that of other files, is called as their <filename>"
            self.decisions.add("annotations", escape(others[0].relative), choice, how)
        return claims

    def _orphans(self, files: Sequence[_File]) -> Iterator[Entry]:
        for one in files:
            detail = "there is no image of the name that it gives, or of its own, beside it or in images/"
            yield Rejected(one.relative, "missing", detail)

    def _images(
        self, claims: Mapping[bytes | None, Sequence[_File]], spoilt: set[bytes | None], lists: SetLists
    ) -> Iterator[Entry]:
        bare = 0
        for relative, candidate in self.images.items():
            files = claims.get(relative, ())
            if len(files) > 1:
                names = ", ".join(escape(one.relative) for one in files)
                yield Rejected(relative, "bad_annotation", f"several files annotate the image: {names}")
            elif files:
                yield self._annotated(relative, candidate, files[0].annotation, files[0].relative, lists)
            elif relative not in spoilt:
                bare += 1
                empty = self.columns.unannotated == "empty"
                skipped = Skipped(candidate.name, "unannotated", suffix_of(relative))
                yield self._annotated(relative, candidate, Annotation(), b"", lists) if empty else skipped
        self._record_bare(bare)

    def _record_bare(self, count: int) -> None:
        if count and self.columns.unannotated == "empty":
            self.decisions.add("images", "", f"{count:,} without XML have no objects", "data.unannotated")
        elif count:
            how = "--set data.unannotated=empty takes them as images without objects"
            self.decisions.add("images", "", f"{count:,} without XML skipped", how, warning=True)

    def _annotated(
        self, relative: bytes, candidate: Candidate, annotation: Annotation, file: bytes, lists: SetLists
    ) -> Entry:
        listed = lists.of(relative)
        if len(listed) > 1:
            detail = f"ImageSets lists the image as {' and '.join(listed)}"
            return Rejected(relative, "split_conflict", detail)
        split = listed[0] if listed else None
        if not lists:
            split = splits.named_by_folder(relative) or splits.named_by_folder(file)
        return replace(candidate, label=annotation.text(), split=split)


def _near(folder: bytes, places: Sequence[bytes], within: bytes) -> Sequence[bytes]:
    """List the folders near one, the nearest first; where one is named, only those in a folder so called."""
    named = os.path.join(b"/", os.path.normpath(within), b"") if within else b"/"
    inside = [place for place in places if named in os.path.join(b"/", place, b"")]
    ranked = [(distance, place) for place in inside if (distance := _distance(folder, place)) is not None]
    return [place for _, place in sorted(ranked)]


def _distance(folder: bytes, place: bytes) -> tuple[int, int] | None:
    """Rate how near a folder of images is to one of XML files; None: they have nothing to do with each other.

    Near are the folder itself, one that differs in a single part of its path, its parent, and a folder in it.
    """
    mine, other = _parts(folder), _parts(place)
    usual = min((_USUAL.index(part) for part in map(_lowered, other) if part in _USUAL), default=len(_USUAL))
    if mine == other:
        return 0, 0
    if len(mine) == len(other):
        different = [(a, b) for a, b in zip(mine, other, strict=True) if a != b]
        across = all(splits.is_split(part) for part in different[0])
        return (1, usual) if len(different) == 1 and not across else None
    longer, shorter = sorted((mine, other), key=len, reverse=True)
    shortened = (longer[:place] + longer[place + 1 :] for place in range(len(longer)))
    return (2, usual) if len(longer) == len(shorter) + 1 and shorter in shortened else None


def _parts(folder: bytes) -> list[bytes]:
    return [part for part in folder.split(b"/") if part]


def _lowered(part: bytes) -> str:
    return label_of(part).lower()
