"""What a process of ours does before it loads TensorFlow."""

import json
import subprocess
import sys

CODE = """
import json, sys
from serving.engine import startup
startup.prepare()
startup.prepare()
import tensorflow
hidden = [name for name in startup.UNUSED_BY_KERAS if name in sys.modules]
import matplotlib.pyplot, pandas, sklearn.linear_model
model = tensorflow.keras.Sequential([tensorflow.keras.layers.Dense(1)])
hooks = [finder for finder in sys.meta_path if type(finder).__module__ == startup.__name__]
shape = model(tensorflow.ones([2, 3])).shape
print(json.dumps([hidden, len(hooks), len(pandas.DataFrame({"a": [1]})), str(shape)]))
"""


def test_tensorflow_brings_no_library_that_only_keras_asks_for_and_all_can_be_imported_later() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], 1, 1, "(2, 1)"]
