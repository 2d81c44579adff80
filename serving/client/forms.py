"""Examples as the served graph takes them: what a client sends is rewritten as ingest rewrites it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from features.spec import AUDIO, IMAGE
from serving.client import pictures, sounds

#: What makes the plain form of one example, by the name of the input that takes it.
_PLAIN: dict[str, Callable[[bytes], bytes]] = {AUDIO.input: sounds.wave, IMAGE.input: pictures.plain}


def ready(name: str, value: Any) -> Any:
    """Bring what is sent as one input into its plain form; give an input of another kind back as it is.

    Raises:
        DataError: the bytes are nothing that can be decoded.
    """
    plain = _PLAIN.get(name)
    if plain is None:
        return value
    if isinstance(value, bytes):
        return plain(value)
    examples = np.asarray(value, dtype=object)
    converted = [plain(one) if isinstance(one, bytes) else one for one in examples.ravel()]
    result = np.empty(len(converted), dtype=object)
    result[:] = converted
    return result.reshape(examples.shape)
