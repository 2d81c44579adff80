"""What the first bytes of a file say it is, whatever its name."""

import re

from features.formats import mpeg

#: (offset, magic bytes, name); the first that fits wins.
_MAGIC = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBP", "WebP"),
    (8, b"AVI ", "AVI video"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"IIRO", "camera raw image"),
    (0, b"IIRS", "camera raw image"),
    (0, b"IIU\0", "camera raw image"),
    (0, b"FUJIFILMCCD-RAW", "camera raw image"),
    (0, b"FOVb", "camera raw image"),
    (4, b"ftypcrx", "camera raw image"),
    (0, b"MM\0+", "TIFF"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"ftypM4A", "M4A audio (AAC or ALAC)"),
    (4, b"ftypM4B", "M4A audio (AAC or ALAC)"),
    (4, b"ftypaax", "Audible audio"),
    (4, b"ftyp3g", "3GP audio or video"),
    (4, b"ftypqt", "QuickTime video"),
    (4, b"ftyp", "MP4 video"),
    (4, b"moov", "QuickTime video"),
    (0, b"\0\0\1\0", "ICO"),
    (0, b"8BPS", "Photoshop"),
    (0, b"qoif", "QOI"),
    (0, b"DDS ", "DDS"),
    (0, b"%PDF-", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (8, b"XWMA", "XWMA audio"),
    (8, b"QLCM", "QCP audio"),
    (8, b"RMID", "MIDI"),
    (0, b"MThd", "MIDI"),
    (0, b"RF64", "RF64 audio"),
    (0, b"BW64", "RF64 audio"),
    (0, b"riff\x2e\x91\xcf\x11", "W64 audio"),
    (0, b".snd", "AU audio"),
    (0, b"dns.", "AU audio"),
    (0, b"caff", "CAF audio"),
    (0, b"NIST_1A", "NIST audio"),
    (0, b"fLaC", "FLAC audio"),
    (0, b"OggS", "Ogg audio"),
    (0, b"ID3", "MP3 audio"),
    (0, b"\xff\xfb", "MP3 audio"),
    (0, b"\xff\xfa", "MP3 audio"),
    (0, b"\xff\xf3", "MP3 audio"),
    (0, b"\xff\xf2", "MP3 audio"),
    (0, b"\xff\xe3", "MP3 audio"),
    (0, b"\xff\xe2", "MP3 audio"),
    (0, b" paf\0\0\0\0", "PAF audio"),
    (0, b"fap \0\0\0\0", "PAF audio"),
    (0, b"PVF1\n", "PVF audio"),
    (0, b"2BIT", "AVR audio"),
    (0, b"Creative Voice File", "VOC audio"),
    (0, b"ALawSoundFile", "WVE audio"),
    (0, b"#!AMR", "AMR audio"),
    (0, b"#!EVRC", "EVRC audio"),
    (0, b"#!iLBC", "iLBC audio"),
    (0, b"#!SILK", "SILK audio"),
    (1, b"#!SILK", "SILK audio"),
    (0, b"\xff\xf1", "AAC audio"),
    (0, b"\xff\xf9", "AAC audio"),
    (0, b"\x0b\x77", "AC-3 audio"),
    (0, b"\x7f\xfe\x80\x01", "DTS audio"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF audio or video (WMA, WMV)"),
    (0, b"DSD \x1c\0\0\0", "DSD audio"),
    (0, b"FRM8\0", "DSD audio"),
    (0, b"wvpk", "WavPack audio"),
    (0, b"MPCK", "Musepack audio"),
    (0, b"TTA1", "TTA audio"),
    (0, b"TTA2", "TTA audio"),
    (0, b".ra\xfd", "RealAudio"),
    (0, b".RMF", "RealMedia audio or video"),
    (0, b"ajkg", "Shorten audio"),
    (0, b"tBaK", "TAK audio"),
    (0, b".SoX", "SoX audio"),
    (0, b"XoS.", "SoX audio"),
    (0, b"qoaf", "QOA audio"),
    (0, b"FLV\1", "FLV video"),
    (0, b"\0\0\1\xba", "MPEG video"),
    (0, b"\0\0\1\xb3", "MPEG video"),
    (0, b"PK\3\4", "ZIP archive"),
    (0, b"PK\5\6", "ZIP archive"),
    (0, b"\x1f\x8b", "gzip data"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z archive"),
    (0, b"Rar!\x1a\7", "RAR archive"),
    (257, b"ustar", "tar archive"),
    (0, b"\x7fELF", "ELF program"),
    (0, b"MZ", "Windows program"),
    (0, b"SQLite format 3\0", "SQLite database"),
    (0, b"\x80\2", "Python pickle"),
    (0, b"\x93NUMPY", "NumPy array"),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5 data"),
    (0, b"PAR1", "Parquet table"),
    (0, b"version https://git-lfs", "Git LFS pointer"),
)

#: Names above that are pictures.
IMAGES = frozenset(
    {"JPEG", "PNG", "GIF", "WebP", "BMP", "TIFF", "JPEG XL", "JPEG 2000", "AVIF", "HEIC", "ICO"}
    | {"Photoshop", "QOI", "DDS", "SVG", "PostScript", "Netpbm", "camera raw image"}
)
#: Those made of pixels, as photos are: drawings beside them are documents.
PHOTOS = IMAGES - {"SVG", "PostScript"}

_MARKUP = (
    (re.compile(rb"<svg[\s>]", re.IGNORECASE), "SVG"),
    (re.compile(rb"<(!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE), "HTML"),
    (re.compile(rb"<\?xml\s", re.IGNORECASE), "XML"),
)
#: A size must follow: "P1" begins many a text, too.
_NETPBM = re.compile(rb"(P[1-6]\s(\s*#[^\n]*\n)*\s*\d+\s+\d+\s|P7\n(#[^\n]*\n)*(WIDTH|HEIGHT|DEPTH) )")
#: What a few fixed bytes cannot tell; the first that fits wins.
_PATTERNS = (
    (re.compile(rb"RIF[FX].{4}WAVE", re.DOTALL), "WAV audio"),
    (re.compile(rb"FORM.{4}AIF[FC]", re.DOTALL), "AIFF audio"),
    (re.compile(rb"FORM.{4}(8SVX|16SV)", re.DOTALL), "8SVX audio"),
    # "BM" alone also begins many a text: a small information header must follow.
    (re.compile(rb"BM.{12}[\x0c-\x7c]\0\0\0", re.DOTALL), "BMP"),
    (re.compile(rb"\x1a\x45\xdf\xa3.{0,60}webm", re.DOTALL), "WebM audio or video"),
    (re.compile(rb"\x1a\x45\xdf\xa3"), "Matroska audio or video"),
    (re.compile(rb"MAC .[\x0c-\x10]", re.DOTALL), "Monkey's Audio"),
    (re.compile(rb"MP\+[\x07\x08\x17\x18]"), "Musepack audio"),
    (re.compile(rb"\x80\0.{2}\x03\x12\x04", re.DOTALL), "ADX audio"),
    (re.compile(rb"(G.{187}){3}", re.DOTALL), "MPEG video"),
    (re.compile(rb"(\x64\xa3[\0-\7]\0|\0[\0-\7]\xa3\x64)", re.DOTALL), "IRCAM audio"),
)
#: Formats that are met with the ID3 tag of MP3 files before them.
_TAGGED = frozenset({"FLAC audio", "WAV audio", "AIFF audio", "AAC audio", "TTA audio", "Ogg audio"})
_TAGGED |= frozenset({"Monkey's Audio", "WavPack audio", "DSD audio", "MP1 audio", "MP2 audio"})
_PRINTABLE = frozenset(range(0x20, 0x7F)) | {9, 10, 12, 13}


def sniff(data: bytes) -> str:
    """Name the type of a file's content from its first bytes.

    Args:
        data: the content, or at least its first 512 bytes.

    Returns:
        A name such as ``JPEG``, ``HTML``, ``text`` or, when nothing fits, ``binary data``.
    """
    if data.startswith(b"ID3") and (rest := data[mpeg.after_tags(data) :]):
        # The tag of MP3 files also stands before other formats; what follows it is searched for frames.
        named = sniff(rest)
        return named if named in _TAGGED else "MP3 audio"
    for offset, magic, name in _MAGIC:
        if data.startswith(magic, offset):
            return name
    for pattern, name in _PATTERNS:
        if pattern.match(data):
            return name
    return _markup(data[:512]) or _weak(data) or ("text" if _is_text(data[:512]) else "binary data")


def _markup(head: bytes) -> str | None:
    head = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"<"):
        for pattern, name in _MARKUP:
            if pattern.search(head):
                return name
    return "Netpbm" if _NETPBM.match(head) else None


def _weak(data: bytes) -> str | None:
    """Name a format that has no magic bytes, from the whole content."""
    if data[8:12] == b"\0\2\0\0" and 2 * int.from_bytes(data[:4], "big") + 12 == len(data):
        return "HTK audio"
    frame = mpeg.find(data)
    return f"MP{frame.layer} audio" if frame else None


def _is_text(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character cut by the 512-byte window is no evidence against text.
        if error.start < len(head) - 3:
            return False
    return all(byte in _PRINTABLE or byte >= 0x80 for byte in head)
