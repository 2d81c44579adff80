"""``python -m serving``: stands where a script starts tensorflow_model_server."""

import sys

from serving.cli import main

sys.exit(main(sys.argv[1:]))
