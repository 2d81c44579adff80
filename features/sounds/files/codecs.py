"""Which codec a sound file's samples are stored in, for those that libsndfile does not decode."""

import re
import struct

from features.sounds.files.chunks import Chunks

#: Codec by the format tag of WAV (RFC 2361 and the registry behind it).
_WAVE_TAGS = {
    0x0001: "PCM",
    0x0002: "Microsoft ADPCM",
    0x0003: "float",
    0x0005: "IBM CVSD",
    0x0006: "A-law",
    0x0007: "mu-law",
    0x0008: "DTS",
    0x000A: "WMA voice",
    0x0010: "OKI ADPCM",
    0x0011: "IMA ADPCM",
    0x0014: "G.723 ADPCM",
    0x0017: "Dialogic OKI ADPCM",
    0x0020: "Yamaha ADPCM",
    0x0022: "DSP TrueSpeech",
    0x0028: "LRC",
    0x0031: "GSM 6.10",
    0x0038: "NMS VBX ADPCM",
    0x0040: "G.721 ADPCM",
    0x0041: "G.728 CELP",
    0x0042: "G.723.1",
    0x0045: "G.726 ADPCM",
    0x0050: "MPEG layer 1 or 2",
    0x0055: "MP3",
    0x0057: "AMR",
    0x0061: "Duck DK4 ADPCM",
    0x0062: "Duck DK3 ADPCM",
    0x0064: "G.726 ADPCM",
    0x0065: "G.722 ADPCM",
    0x0069: "Xbox ADPCM",
    0x0075: "Voxware",
    0x0083: "G.729",
    0x0092: "AC-3 over S/PDIF",
    0x00FF: "AAC",
    0x0111: "VivoActive G.723",
    0x0112: "VivoActive Siren",
    0x0130: "Sipro ACELP",
    0x0160: "WMA 1",
    0x0161: "WMA 2",
    0x0162: "WMA Pro",
    0x0163: "WMA lossless",
    0x0270: "ATRAC3",
    0x0401: "Indeo Audio",
    0x1600: "AAC (ADTS)",
    0x1602: "AAC (LATM)",
    0x2000: "AC-3",
    0x2001: "DTS",
    0x28F5: "Sonic",
    0x5346: "Flash ADPCM",
    0x566F: "Vorbis",
    0x674F: "Vorbis",
    0x6750: "Vorbis",
    0x6751: "Vorbis",
    0x676F: "Vorbis",
    0x6770: "Vorbis",
    0x6771: "Vorbis",
    0x704F: "Opus",
    0x7A21: "AMR-NB",
    0x7A22: "AMR-WB",
    0xA106: "AAC",
    0xA109: "Speex",
    0xF1AC: "FLAC",
}
#: The tags above that libsndfile decodes.
_DECODED_TAGS = frozenset({0x0001, 0x0002, 0x0003, 0x0006, 0x0007, 0x0011, 0x0031, 0x0038, 0x0040, 0x0055})
MP3_TAG = 0x0055
_EXTENSIBLE = 0xFFFE
#: Encodings of AU that libsndfile decodes: mu-law, PCM, float, G.721, G.723 and A-law.
_DECODED_AU = frozenset({1, 2, 3, 4, 5, 6, 7, 23, 25, 26, 27})
#: What the first packet of an Ogg stream begins with.
_OGG = (
    (b"\x7fFLAC", "FLAC"),
    (b"Speex   ", "Speex"),
    (b"\x80theora", "Theora video"),
    (b"CELT    ", "CELT"),
    (b"PCM     ", "PCM"),
    (b"BBCD\0", "Dirac video"),
    (b"fishead\0", "Skeleton"),
)


def wave_tag(chunks: Chunks) -> int:
    """Return the format tag of a WAV file; of the extensible format, the one it stands for."""
    order = ">" if chunks.magic == b"RIFX" else "<"
    form = chunks.bodies.get(b"fmt ", b"")
    if len(form) < 16:
        return 0
    (tag,) = struct.unpack_from(order + "H", form)
    if tag == _EXTENSIBLE and len(form) >= 26:
        (tag,) = struct.unpack_from(order + "H", form, 24)
    return int(tag)


def of_chunks(chunks: Chunks) -> tuple[str, bool]:
    """Name the codec of a file of chunks; say also whether it may be one that libsndfile decodes."""
    if chunks.magic == b"FORM":
        return _four(chunks.bodies.get(b"COMM", b"")[18:22]), True
    if chunks.magic == b"caff":
        return _four(chunks.bodies.get(b"desc", b"")[8:12]), True
    tag = wave_tag(chunks)
    name = _WAVE_TAGS.get(tag, "an unknown codec")
    bits = chunks.bodies.get(b"fmt ", b"")[14:16]
    depth = f", {int.from_bytes(bits, 'big' if chunks.magic == b'RIFX' else 'little')} bits"
    return f"{name} (tag 0x{tag:04x}{depth})", tag in _DECODED_TAGS


def _four(code: bytes) -> str:
    return code.decode("latin-1").strip() or "PCM"


def of_au(encoding: int) -> tuple[str, bool]:
    """Name the encoding of an AU file by its number; say also whether libsndfile decodes it."""
    return f"encoding {encoding}", encoding in _DECODED_AU


def of_ogg(data: bytes) -> str:
    """Name the codec of an Ogg stream where libsndfile may not decode it; else return an empty text."""
    start = 27 + data[26] if len(data) > 26 else 0
    return next((name for beginning, name in _OGG if data.startswith(beginning, start)), "")


def of_nist(data: bytes) -> str | None:
    """Name the compression of a NIST SPHERE file, which libsndfile does not undo."""
    match = re.search(rb"sample_coding -s\d+ \S*(shorten|wavpack|shortpack)\S*", data[:1024])
    return match[1].decode() if match else None
