"""The formats of sound files: which are decoded, under which endings, and which are only known by name."""

#: Formats that are decoded, with the file name endings they usually have (lower case, with dot).
ENDINGS = {
    "WAV": (".wav", ".wave", ".bwf"),
    "RF64": (".wav", ".wave", ".rf64", ".bwf"),
    "W64": (".w64",),
    "AIFF": (".aif", ".aiff", ".aifc"),
    "AU": (".au", ".snd"),
    "CAF": (".caf",),
    "NIST": (".nist", ".sph", ".wav"),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga", ".opus"),
    "MP3": (".mp3", ".mpga"),
    "MP2": (".mp2", ".mp3", ".mpga"),
    "MP1": (".mp1", ".mp3", ".mpga"),
    "IRCAM": (".sf", ".ircam"),
    "PAF": (".paf",),
    "PVF": (".pvf",),
    "HTK": (".htk",),
}

#: Name that `content_type.sniff` gives a content to the format that decodes it.
DECODED = {f"{name} audio": name for name in ENDINGS if name != "OGG"} | {"Ogg audio": "OGG"}

#: Further names of `content_type.sniff` that stand for sound, alone or beside pictures.
CONVERTIBLE = frozenset(
    {
        "3GP audio or video",
        "8SVX audio",
        "AAC audio",
        "AC-3 audio",
        "ADX audio",
        "AMR audio",
        "ASF audio or video (WMA, WMV)",
        "AVI video",
        "AVR audio",
        "Audible audio",
        "DSD audio",
        "DTS audio",
        "EVRC audio",
        "FLV video",
        "M4A audio (AAC or ALAC)",
        "MP4 video",
        "MPEG video",
        "Matroska audio or video",
        "Monkey's Audio",
        "Musepack audio",
        "QCP audio",
        "QOA audio",
        "QuickTime video",
        "RealAudio",
        "RealMedia audio or video",
        "SILK audio",
        "Shorten audio",
        "SoX audio",
        "TAK audio",
        "TTA audio",
        "VOC audio",
        "WVE audio",
        "WavPack audio",
        "WebM audio or video",
        "XWMA audio",
        "iLBC audio",
    }
)

#: Every ending that ingest opens as a sound.
SUFFIXES = frozenset(ending for endings in ENDINGS.values() for ending in endings)

#: Names of `content_type.sniff` by which a file is an example whatever its ending; videos are none.
CONTENTS = frozenset(DECODED) | frozenset(name for name in CONVERTIBLE if "audio" in name.lower())
