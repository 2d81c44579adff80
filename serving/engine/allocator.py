"""The C library's allocator and Python's collector, told what tensors and graphs need."""

import ctypes
import gc
import os
import platform

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8

#: So many new objects are made before the collector looks for garbage among them; Python's own number is 700.
NEW_OBJECTS = 50_000
#: What is kept, in bytes: blocks up to the first come from the heap, whose free end may reach the second.
LARGEST_KEPT, MOST_KEPT = 1 << 30, 512 << 20


def keep_memory() -> bool:
    """Have one heap serve all threads and keep what tensors gave back; False if there is no glibc.

    Left to itself, glibc takes every block over 32 MB from the system and gives it back after use, so
    that a batch of images finds none of its memory in place: 2,500 page faults an image at batch 8, a
    quarter of the time. It also keeps a heap for each thread, so that sixteen threads that run a model in
    turn hold its memory sixteen times, cold. Settings that the environment makes are left alone.
    """
    if platform.libc_ver()[0] != "glibc" or "GLIBC_TUNABLES" in os.environ:
        return False
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    settings = {_ARENA_MAX: 1, _MMAP_THRESHOLD: LARGEST_KEPT, _TRIM_THRESHOLD: MOST_KEPT}
    mallopt = ctypes.CDLL(None).mallopt
    taken = [mallopt(name, value) for name, value in settings.items()]
    return all(taken)


def collect_rarely() -> None:
    """Let Python look for garbage less often: a million objects of libraries are imported and stay."""
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])


def return_memory() -> None:
    """Return free memory to the system, for example after a model was unloaded."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
