"""Makes evaluations.py and its modules importable in the tests of this folder."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield
    ours = ("evaluations", "quality", "listening")
    for name in [name for name in sys.modules if name.split(".")[0] in ours]:
        sys.modules.pop(name)
