"""Make names and values fit for a tracking server: secrets masked, names slugged."""

import hashlib
import os
import re
import unicodedata

MASK = "***"
#: MLflow refuses longer keys of params, metrics and tags.
LONGEST_NAME = 250

#: The last part of a name that holds a secret, such as ``db.password`` or ``HF_TOKEN``.
_ALWAYS = re.compile(r"(?:^|[._\-/ ])(pass(?:word|wd|phrase)|secret(?:[_-]?key)?|private[_-]?key)$", re.I)
_OFTEN = re.compile(
    r"(?:^|[._\-/ ])(token|api[_-]?key|access[_-]?key(?:[_-]?id)?|auth(?:orization)?|credentials?|sas|dsn)$",
    re.I,
)
#: Values that are secrets whatever they are called: cloud and forge keys, JSON web tokens, PEM keys.
_SHAPES = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{30,}\b|\bgithub_pat_\w{30,}\b|\bglpat-[\w-]{18,}"
    r"|\bhf_[A-Za-z0-9]{30,}\b|\bsk-[\w-]{20,}|\bxox[abeoprs]-[\w-]{10,}|\bAIza[\w-]{35}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.S,
)
#: A password may hold an @ of its own: the last one before the path ends it.
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.\-]*://[^\s/:@]*:)[^\s/]+(@)", re.I)
_URL_TOKEN = re.compile(r"(\bhttps?://)[^\s/:@]+(@)", re.I)
_QUERY = re.compile(
    r"([?&](?:sig|signature|token|access_token|api_key|key|password|secret)=)[^&\s\"']+", re.I
)
_ASSIGNED = re.compile(
    r"((?:^|[\s._-])(?:password|passwd|passphrase|secret|api[_-]?key)\s*[:=]\s*)(['\"]?)[^\s'\"]+\2", re.I
)
_SHORTEST = 8


def mask(text: str, name: str = "") -> str:
    """Replace secrets in a text by ``***``.

    What is masked: the whole value of a name such as ``db.password``, or ``hf_token`` where the
    value looks random; keys of known shapes; passwords in URLs and signatures in their queries;
    ``password: …`` within longer text; and the value of every environment variable with such a name.

    Args:
        text: the value.
        name: what the value is called, where it has a name.
    """
    if text and _ALWAYS.search(name):
        return MASK
    if len(text) >= _SHORTEST and _OFTEN.search(name) and re.search(r"\d", text):
        return MASK
    for secret in _environment_secrets():
        text = text.replace(secret, MASK)
    text = _URL_PASSWORD.sub(rf"\1{MASK}\2", _SHAPES.sub(MASK, text))
    text = _URL_TOKEN.sub(rf"\1{MASK}\2", text)
    return _ASSIGNED.sub(rf"\1{MASK}", _QUERY.sub(rf"\1{MASK}", text))


def mask_address(address: str) -> str:
    """Replace secrets in an address that may be malformed: whatever stands before its last ``@``."""
    scheme, separator, rest = address.partition("://") if "://" in address else ("", "", address)
    userinfo, at, place = rest.rpartition("@")
    return mask(f"{scheme}{separator}{MASK if userinfo else ''}{at}{place}")


def _environment_secrets() -> list[str]:
    secrets = {
        value
        for name, value in os.environ.items()
        if len(value) >= _SHORTEST and (_ALWAYS.search(name) or _OFTEN.search(name))
    }
    return sorted(secrets, key=len, reverse=True)


def slug(text: str, longest: int = LONGEST_NAME) -> str:
    """Make a name that every tracking store takes: ASCII letters, digits, and ``_ - . / :`` and space.

    A name that had to be changed ends in six hexadecimal digits of its hash, so that different
    names stay different. ``..``, a leading or a double slash never survive: stores use names as paths.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_\-./: ]", "_", plain).strip()
    name = re.sub(r"\.{2,}|(?<![^/])/+|(?<=/)\.(?=/|$)|^\./|/$|^\.$", "_", name)
    if name == text and 0 < len(name) <= longest:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{name[: longest - 7]}-{digest}" if name else f"name-{digest}"
