"""Put the page together: markup, style and script in one document, with a policy that allows nothing else."""

import base64
import functools
import hashlib
import re
from pathlib import Path

FOLDER = Path(__file__).parent
#: Files of the script, in the order in which they are joined.
SCRIPTS = (
    "markup.js",
    "server.js",
    "signatures.js",
    "sounds.js",
    "photos.js",
    "inputs.js",
    "charts.js",
    "answers.js",
    "commands.js",
    "main.js",
)

#: Where the page may send requests: served, to its own server; opened as a file, to the one that is typed.
_OWN_SERVER, _ANY_SERVER = "'self'", "http: https:"


@functools.cache
def served() -> bytes:
    """Return the document as a server sends it; its policy travels as a header, `policy`."""
    return _document("").encode()


@functools.cache
def alone() -> bytes:
    """Return the document as a file: opened by itself, it asks a server whose address is typed."""
    return _document(f'<meta http-equiv="Content-Security-Policy" content="{_policy(_ANY_SERVER)}">').encode()


def policy() -> str:
    """Return the Content-Security-Policy of the served document."""
    return f"{_policy(_OWN_SERVER)}; frame-ancestors 'none'"


def _policy(servers: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(_script())}'",
            f"style-src '{_hash(_style())}'",
            "img-src data: blob:",
            "media-src blob:",
            f"connect-src {servers}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _style() -> str:
    return re.sub(r"\s*([{};,])\s+|(?<=:) ", r"\1", _read("style.css"))


def _script() -> str:
    return "\n".join(map(_squeezed, map(_read, SCRIPTS)))


def _squeezed(text: str) -> str:
    """Leave out what a browser does not need: comments, empty lines, indentation, blanks around operators."""
    lines = (line.strip() for line in text.splitlines())
    code = (line for line in lines if line and not line.startswith(("//", "/*", "*")))
    return re.sub(r" (=>|===|!==|&&|\|\||\?\?) ", r"\1", "\n".join(code))


def _document(meta: str) -> str:
    parts = {"<!-- policy -->": meta, "/* style */": _style(), "/* script */": _script()}
    text = _read("page.html")
    for mark, part in parts.items():
        text = text.replace(mark, part)
    return text


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
