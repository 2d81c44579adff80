"""Files as pyarrow reads them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow


def open_for_arrow(path: Path) -> "pyarrow.OSFile":
    """Open a file for pyarrow to read, whatever its name; a context manager.

    One of pyarrow's threads may release a Python file object while the interpreter shuts down, which aborts
    the process (apache/arrow, issues 34314 and 45017). A path will not do either: pyarrow takes it for a
    URI, and only as UTF-8.

    Raises:
        OSError: the file cannot be opened.
    """
    import pyarrow

    return pyarrow.OSFile(os.fsencode(path))
