"""A servable that can be held back, and calls that queue behind the one that holds it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from serving.engine.servable import Servable


class Held(Servable):
    """A real servable that notes the rows and the thread of each run, and can be held back."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.sizes = []
        self.threads = set()
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.gate.set()

    def run(self, feeds, fetches):
        self.entered.release()
        assert self.gate.wait(30)
        self.sizes.append(len(np.atleast_1d(next(iter(feeds.values())))))
        self.threads.add(threading.current_thread())
        return super().run(feeds, fetches)


def ask(batcher, signature, **inputs):
    """Call a signature of a batcher and return its outputs by name."""
    found = batcher.signatures[signature]
    feeds = {found.inputs[name].name: value for name, value in inputs.items()}
    aliases = sorted(found.outputs)
    values = batcher.run(feeds, [found.outputs[alias].name for alias in aliases])
    return dict(zip(aliases, values, strict=True))


def floats(*values):
    """Make a float32 vector."""
    return np.array(values, np.float32)


#: Occupies a model while others wait.
FIRST = ("refuse_negative", {"x": floats(4)})


def while_held(held, batcher, calls, first=FIRST):
    """Start one call that occupies the only slot, queue the others behind it, then let all go on."""
    held.gate.clear()
    with ThreadPoolExecutor(len(calls) + 1) as pool:
        running = pool.submit(ask, batcher, first[0], **first[1])
        assert held.entered.acquire(timeout=30)
        waiting = []
        for count, (signature, inputs) in enumerate(calls, 1):
            waiting.append(pool.submit(ask, batcher, signature, **inputs))
            while sum(len(queue.tasks) for queue in list(batcher._queues.values())) < count:
                if waiting[-1].done():
                    break
        held.gate.set()
        running.result(30)
        return waiting
