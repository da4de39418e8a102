"""Makes evaluations.py and its modules importable in the tests of this folder."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def modules(benchmark):
    """The path of benchmarks/, which tests import from by themselves."""
