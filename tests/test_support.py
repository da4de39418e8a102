"""Tests share code through tests/support and conftest.py, never through one another."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def imported(source: str) -> Iterator[str]:
    """Dotted names that a module imports, also in programs that it holds as strings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = "." * node.level + (node.module or "")
            yield from (f"{package}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and "import" in str(node.value):
            try:
                yield from imported(node.value)
            except (SyntaxError, TypeError):  # prose
                continue


def is_test(name: str) -> bool:
    """Whether a dotted name lies in a test file or a conftest.py."""
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
