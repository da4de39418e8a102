"""Imports of the benchmarks, most of which have no other tests, still exist in the library."""

import importlib
from pathlib import Path

import pytest

from tests.support.imports import imported

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("path", sorted(BENCHMARKS.rglob("*.py")), ids=lambda path: path.stem)
def test_imported_names_exist(path):
    for name in imported(path.read_text()):
        if name.startswith("spectrodiff."):
            module, _, attribute = name.rpartition(".")
            if not hasattr(importlib.import_module(module), attribute):
                importlib.import_module(name)
