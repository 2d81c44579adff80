"""``python -m serving``: stands where a script starts tensorflow_model_server."""

import sys

from serving.process import leaving

# Made before gRPC and TensorFlow are imported: threads of theirs that still run while the interpreter is
# taken apart can abort the process.
leave = leaving.QuickExit()

from serving.cli import main  # noqa: E402

leave(main(sys.argv[1:]))
