"""Tests share code through tests/support alone, and use what is public."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.imports import imported

TESTS = Path(__file__).parent


def is_test(name: str) -> bool:
    """Tells if a dotted name is one of a test file or a conftest.py."""
    parts = name.lstrip(".").split(".")
    ours = name.startswith(".") or parts[0] == "tests"
    return ours and any(part.startswith("test_") or part == "conftest" for part in parts[:-1])


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from tests.audio.test_files import tone", "tests.audio.test_files.tone"),
        ("from tests.audio import test_files", "tests.audio.test_files"),
    ],
)
def test_imports_are_found(source, name):
    assert list(imported(source)) == [name]
    assert list(imported(f"def f():\n    {source}")) == [name]
    assert list(imported(f"CODE = {source!r}")) == [name]


def test_no_test_imports_another():
    files = [path for path in sorted(TESTS.rglob("*.py")) if path != Path(__file__)]
    assert len(files) > 100
    found = [
        f"{path.relative_to(TESTS.parent)} imports {name}"
        for path in files
        for name in imported(path.read_text(encoding="utf-8"))
        if is_test(name)
    ]
    assert not found, "what tests share belongs into tests/support:\n" + "\n".join(found)


# Fields and methods of named tuples, and modules of Python whose insides some tests have to reach.
PUBLIC_ANYWAY = {"_replace", "_fields", "_asdict"}
PYTHONS = {"subprocess", "copyreg", "os"}
# What is left to mend; entries only ever go away.
LEFT = {
    ("tests/synthesis/test_meter.py", "progress._progress"),
    ("tests/synthesis/test_synthesizer.py", "half._models"),
    ("tests/training/tasks/test_invert.py", "task._features"),
    ("tests/training/test_loop.py", "distributed._given_up"),
    ("tests/training/test_robustness.py", "distributed._given_up"),
    ("tests/training/test_start.py", "optimizers._muon_axes"),
}


def privates(source: str) -> Iterator[str]:
    """Names with a leading underscore that a file reads, or replaces, in code of another."""
    tree = ast.parse(source)
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{one.name}" for one in node.names if is_private(one.name))
        elif isinstance(node, ast.Attribute):
            place, name = ast.unparse(node.value), node.attr
            if (
                is_private(name)
                and name not in own | PUBLIC_ANYWAY
                and place not in {"self", "cls"}
            ):
                yield f"{place}.{name}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("setattr"):
            words = [one.value for one in node.args if isinstance(one, ast.Constant)]
            for name in words:
                if isinstance(name, str) and is_private(name.split(".")[-1]):
                    yield f"{ast.unparse(node.args[0])}.{name}"


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_privates_are_found():
    assert list(privates("from spectrodiff.core import _one, two")) == ["spectrodiff.core._one"]
    assert list(privates("a.b._one = self._two + c._replace()")) == ["a.b._one"]
    assert list(privates("patch.setattr(module, '_one', 1)")) == ["module._one"]


def test_no_test_reads_privates_of_the_package():
    found = {
        (path.relative_to(TESTS.parent).as_posix(), name)
        for path in sorted(TESTS.rglob("*.py"))
        for name in privates(path.read_text(encoding="utf-8"))
        if name.split(".")[0] not in PYTHONS
    }
    assert found <= LEFT, found - LEFT
