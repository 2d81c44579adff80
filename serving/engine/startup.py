"""What a process of ours that will load TensorFlow does first."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from serving.engine import allocator

#: What Keras imports where it finds it, for wrappers and plots that nobody here uses.
UNUSED_BY_KERAS = ("matplotlib", "pandas", "sklearn")


class _HiddenFromKeras(MetaPathFinder):
    """Finds nothing, but for Keras while it is imported says that what it could do without is not there."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in UNUSED_BY_KERAS and _initializing("keras"):
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


def _initializing(name: str) -> bool:
    # As importlib itself asks, for "partially initialized module".
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return getattr(spec, "_initializing", False)


def prepare() -> None:
    """Prepare this process for TensorFlow: memory, garbage, and no import of what is not used.

    TensorFlow imports Keras, and Keras scikit-learn, pandas and matplotlib: a third of the time that
    `import tensorflow` takes. Whoever uses them imports them later, as ever.
    """
    allocator.keep_memory()
    allocator.collect_rarely()
    if not any(isinstance(finder, _HiddenFromKeras) for finder in sys.meta_path):
        sys.meta_path.insert(0, _HiddenFromKeras())
