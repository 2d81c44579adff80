"""Every module can be imported first, and no two files import each other, at whatever depth."""

import graphlib
import subprocess
import sys

import grimp
import pytest

from tests.conftest import ROOT

ROOMS = ("features", "models", "serving", "flows")

# Forks once for each module, so that libraries are loaded once and ours in a fresh state each time. A first
# child imports all of ours and says which modules of libraries that takes.
LONE = """
import gc, importlib, os, sys, traceback
import tensorflow, keras

def child(work):
    reading, writing = os.pipe()
    if (process := os.fork()) == 0:
        try:
            os.write(writing, work().encode())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        said = pipe.read()
    return said, os.waitpid(process, 0)[1]

def libraries():
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception:
            pass  # it will be said of the module alone
    return " ".join(name for name in sys.modules if name.split(".")[0] not in rooms)

rooms, *modules = (line.split() for line in sys.stdin)
modules = modules[0]
said, _ = child(libraries)
for name in said.split():
    try:
        importlib.import_module(name)
    except Exception:
        pass  # a part of a library that only its own package can import
gc.disable()  # a collection in a child would copy the memory of all libraries
gc.freeze()
failed = []
for module in modules:
    if child(lambda: importlib.import_module(module).__name__)[1]:
        failed.append(module)
print(*failed)
"""


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*ROOMS, exclude_type_checking_imports=True, cache_dir=None)


@pytest.mark.proof
def test_every_module_can_be_imported_first(graph: grimp.ImportGraph) -> None:
    modules = [name for name in sorted(graph.modules) if not name.endswith("__main__")]
    assert len(modules) > 300
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LONE],
        input=f"{' '.join(ROOMS)}\n{' '.join(modules)}\n",
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stdout.split() == [], done.stderr
    assert done.returncode == 0, done.stderr


def test_no_file_imports_in_a_circle(graph: grimp.ImportGraph) -> None:
    arrows = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    # static_order raises CycleError, which names the circle.
    assert set(graphlib.TopologicalSorter(arrows).static_order()) == graph.modules


def test_no_folder_imports_in_a_circle(graph: grimp.ImportGraph) -> None:
    """Every folder, however deep; a file of the room itself stands for itself."""
    arrows: dict[str, set[str]] = {}
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            here, there = (_folder(graph, name) for name in (module, other))
            if here != there:
                arrows.setdefault(here, set()).add(there)
    order = list(graphlib.TopologicalSorter(arrows).static_order())
    assert order.index("flows.cli") > order.index("features.storage")


def _folder(graph: grimp.ImportGraph, module: str) -> str:
    parent = module.rpartition(".")[0]
    return module if graph.find_children(module) or parent in ROOMS else parent
