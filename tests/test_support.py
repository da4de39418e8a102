"""Tests share code through tests/support and conftest.py, never through one another."""

from pathlib import Path

import pytest

from tests.support.imports import imported

TESTS = Path(__file__).parent


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
