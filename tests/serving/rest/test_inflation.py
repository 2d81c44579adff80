"""Bodies come back as they were before they were compressed, however they are cut; cut ones are refused."""

import gzip
import random
import zlib

import pytest

from serving.errors import InvalidArgument
from serving.rest.inflation import PIECE, Inflater


def inflated(encoding: str, body: bytes, cuts: int = 1) -> bytes:
    inflater = Inflater(encoding)
    size = max(1, len(body) // cuts)
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    pieces = [piece for part in parts for piece in inflater.pieces(part)]
    inflater.end()
    assert all(len(piece) <= PIECE for piece in pieces) or not encoding
    return b"".join(pieces)


@pytest.mark.parametrize("cuts", [1, 7, 10_000])
@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 100])
@pytest.mark.parametrize("noise", [False, True])
def test_a_body_comes_back(size: int, cuts: int, noise: bool) -> None:
    plain = random.Random(size).randbytes(size) if noise else b"a" * size
    for encoding, body in (("gzip", gzip.compress(plain)), ("deflate", zlib.compress(plain)), ("", plain)):
        assert inflated(encoding, body, cuts if encoding else 1) == plain


def test_every_cut_is_found() -> None:
    body = gzip.compress(b"a body of some length" * 10)
    for end in range(1, len(body)):
        with pytest.raises(InvalidArgument, match="ends prematurely"):
            inflated("gzip", body[:end])
    assert inflated("gzip", b"") == b""
