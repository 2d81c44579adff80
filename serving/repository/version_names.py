"""Which directory names are model versions and which names are model names."""

import re

MAX_VERSION = 2**63 - 1
_VERSION = re.compile(r"(0|[1-9][0-9]{0,18})", re.ASCII)
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


def parse_version(name: str) -> int | None:
    """Return the version in a directory name, or None if it is not a version.

    Only ASCII ``0`` or ``[1-9][0-9]*`` up to 2^63-1 count: ``int()`` would also take ``+1``, ``1_0`` and
    digits of other scripts. (TensorFlow Serving reads ``001`` as well; it is never written here.)
    """
    if not _VERSION.fullmatch(name):
        return None
    number = int(name)
    return number if number <= MAX_VERSION else None


def is_model_name(name: str) -> bool:
    """Return whether a name is a valid model name: safe as a folder name and in gRPC."""
    return bool(_MODEL.fullmatch(name))
