"""Modules of benchmarks/, which are scripts beside each other and no package."""

import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    """Imports a module of benchmarks/ by name."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module
    for name, module in list(sys.modules.items()):
        if name not in before and str(BENCHMARKS) in str(getattr(module, "__file__", "")):
            del sys.modules[name]
