"""Output whose reader has died."""

import os
import subprocess
import sys

from tests.conftest import ROOT

PROGRAM = """
import os, sys
from flows.console import streams, terminal
streams.outlive_readers()
print("before")
terminal.note("seen")
sys.stdin.readline()
print("after")
terminal.note("rich turns a broken pipe into SystemExit")
terminal.fail("plain text")
os.write(2, b"native code")
os.system("echo a process started later && echo likewise >&2")
open(sys.argv[1], "w").write("went on")
"""


def test_output_whose_reader_has_died_is_dropped(tmp_path) -> None:
    witness = tmp_path / "witness"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(witness)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert (process.stdout.readline(), process.stderr.readline()) == (b"before\n", b"seen\n")
    process.stdout.close()
    process.stderr.close()
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.wait() == 0
    assert witness.read_text() == "went on"
