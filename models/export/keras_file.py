"""A Keras file made a SavedModel."""

from pathlib import Path

import keras

from features.errors import ExportError


def export(path: Path, directory: Path) -> None:
    """Export a ``.keras`` file as a SavedModel; nothing that it holds is run as Python code.

    Raises:
        ExportError: it holds a class that is not known here; names it.
        ValueError: it is damaged, or holds a lambda.
    """
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except TypeError as error:
        # Keras says how to register the class, which only the program that defines it could do.
        raise ExportError(
            str(error).partition(". ")[0], todo="export it where it is defined: model.export('FOLDER')"
        ) from error
    model.export(str(directory), verbose=False)
