"""Files as pyarrow reads them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow


def open_for_arrow(path: Path) -> "pyarrow.OSFile":
    """Open a file for pyarrow to read, by whatever name: a context manager.

    Not a file of Python's: pyarrow's threads would let go of it, and one that does so while the
    interpreter ends aborts the process. Nor a path: pyarrow takes one for a URI, and only as UTF-8.

    Raises:
        OSError: the file cannot be opened.
    """
    import pyarrow

    return pyarrow.OSFile(os.fsencode(path))
