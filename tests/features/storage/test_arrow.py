"""Arrow's threads must not hold what is Python's when a process ends."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from features.storage.arrow import open_for_arrow
from tests.conftest import ROOT

#: Processes that read a table and end at once; in one whose threads held a file of Python's nearly all abort.
_ENDS = """
import os, sys
from pathlib import Path
import pyarrow.parquet
from features.sources.tables.parquet import read_header, read_rows
from features.storage.arrow import open_for_arrow

table = Path(sys.argv[1])
for _ in range(4):
    if not (child := os.fork()):
        names, _ = read_header(table)
        assert len(list(read_rows(table, names, range(len(names))))) == 500
        with open_for_arrow(table) as file:
            assert pyarrow.parquet.read_table(file).num_rows == 500
        sys.exit()
    print(os.waitpid(child, 0)[1])
"""


def test_a_process_that_has_read_a_table_ends_well(tmp_path: Path) -> None:
    table = tmp_path / "table.parquet"
    pd.DataFrame({f"column{index}": ["x"] * 500 for index in range(12)}).to_parquet(table)
    ended = subprocess.run(
        [sys.executable, "-c", _ENDS, table], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (ended.stdout, ended.stderr) == ("0\n" * 4, "")


def test_any_name_is_read(tmp_path: Path) -> None:
    for name in (b"plain", b"not-\xff-utf8", "s3:é?x#y%20".encode()):
        path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
        path.write_bytes(name)
        with open_for_arrow(path) as file:
            assert file.read() == name


@pytest.mark.parametrize("made", [Path.mkdir, lambda path: None])
def test_what_is_no_file_is_an_error_of_the_system(tmp_path: Path, made) -> None:
    made(tmp_path / "none")
    with pytest.raises(OSError, match="none"):
        open_for_arrow(tmp_path / "none")
