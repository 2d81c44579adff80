"""What the first bytes of a file say it is, whatever its name."""

import re

#: (offset, magic bytes, name); the first that fits wins.
_MAGIC = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBP", "WebP"),
    (8, b"WAVE", "WAV audio"),
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
    (4, b"ftyp", "MP4 video"),
    (0, b"\0\0\1\0", "ICO"),
    (0, b"8BPS", "Photoshop"),
    (0, b"qoif", "QOI"),
    (0, b"DDS ", "DDS"),
    (0, b"%PDF-", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"fLaC", "FLAC audio"),
    (0, b"OggS", "Ogg audio"),
    (0, b"ID3", "MP3 audio"),
    (0, b"\xff\xfb", "MP3 audio"),
    (0, b"\xff\xfa", "MP3 audio"),
    (0, b"\xff\xf3", "MP3 audio"),
    (0, b"\xff\xf2", "MP3 audio"),
    (0, b"\xff\xe3", "MP3 audio"),
    (0, b"\xff\xe2", "MP3 audio"),
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
#: Names above that are sounds.
SOUNDS = frozenset(name for _, _, name in _MAGIC if "audio" in name.lower())

_MARKUP = (
    (re.compile(rb"<svg[\s>]", re.IGNORECASE), "SVG"),
    (re.compile(rb"<(!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE), "HTML"),
    (re.compile(rb"<\?xml\s", re.IGNORECASE), "XML"),
)
#: "BM" alone also begins many a text: a small information header must follow.
_BMP = re.compile(rb"BM.{12}[\x0c-\x7c]\0\0\0", re.DOTALL)
#: A size must follow: "P1" begins many a text, too.
_NETPBM = re.compile(rb"(P[1-6]\s(\s*#[^\n]*\n)*\s*\d+\s+\d+\s|P7\n(#[^\n]*\n)*(WIDTH|HEIGHT|DEPTH) )")
_PRINTABLE = frozenset(range(0x20, 0x7F)) | {9, 10, 12, 13}


def sniff(data: bytes) -> str:
    """Name the type of a file's content from its first bytes.

    Args:
        data: the content, or at least its first 512 bytes.

    Returns:
        A name such as ``JPEG``, ``HTML``, ``text`` or, when nothing fits, ``binary data``.
    """
    for offset, magic, name in _MAGIC:
        if data.startswith(magic, offset):
            return name
    if _BMP.match(data):
        return "BMP"
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"<"):
        for pattern, name in _MARKUP:
            if pattern.search(head):
                return name
    if _NETPBM.match(head):
        return "Netpbm"
    return "text" if _is_text(data[:512]) else "binary data"


def _is_text(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character cut by the 512-byte window is no evidence against text.
        if error.start < len(head) - 3:
            return False
    return all(byte in _PRINTABLE or byte >= 0x80 for byte in head)
