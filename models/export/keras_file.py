"""A Keras file made a SavedModel."""

from pathlib import Path

import keras


def export(path: Path, directory: Path) -> None:
    """Export a ``.keras`` file as a SavedModel; nothing that it holds is run as Python code.

    Raises:
        ValueError, TypeError: it is damaged, or holds a lambda or a class that is not known here.
    """
    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    model.export(str(directory), verbose=False)
