"""Which directory names are model versions and which names are model names."""

import re

MAX_VERSION = 2**63 - 1
_VERSION = re.compile(r"(0|[1-9][0-9]{0,18})", re.ASCII)
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


def parse_version(name: str) -> int | None:
    """Give the version a directory name stands for, or None where it stands for none.

    Only ASCII ``0`` or ``[1-9][0-9]*`` up to 2^63-1 count: ``int()`` would also take ``+1``, ``1_0`` and
    digits of other scripts. (TensorFlow Serving reads ``001`` as well; it is never written here.)
    """
    if not _VERSION.fullmatch(name):
        return None
    number = int(name)
    return number if number <= MAX_VERSION else None


def is_model_name(name: str) -> bool:
    """Say whether a name can be a model's: a folder name and a gRPC model name that no path can escape."""
    return bool(_MODEL.fullmatch(name))
