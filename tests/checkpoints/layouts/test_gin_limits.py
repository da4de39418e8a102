"""Gin files that would take minutes, were they parsed."""

import pytest

from spectrodiff.checkpoints.layouts.gin_file import GinFile
from spectrodiff.core.errors import CheckpointError
from tests.support.limits import Limited

ROW = "'a' " * 256


@pytest.fixture(scope="module")
def limited():
    with Limited("spectrodiff.checkpoints.layouts.gin_file", "gin", cpu_seconds=3) as child:
        yield child


def value_of(path):
    return GinFile(path).get("A")


@pytest.mark.parametrize(
    "text",
    [
        "A = " + "'' " * 30_000,
        "A = (" + "'é'\n" * 30_000 + ")",
        "A = (" + "b'x'  # with a remark\n" * 5_000 + ")",
        "A = (\n" + "'a'\n\n" * 5_000 + ")\n",
        "A = 1\n" * 30_000,
        "A = [" + "1, " * 2_000 + "]",
        "A = " + "$é " * 30_000,
    ],
    ids=lambda text: text[:12].encode().hex(),
)
def test_what_takes_long_is_refused(limited, tmp_path, text):
    path = tmp_path / "config.gin"
    path.write_text(text, "utf-8")
    with pytest.raises(CheckpointError, match=r"config\.gin: expected at most"):
        limited.run(value_of, path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f"A = ({ROW})", "a" * 256),
        # Rows of their own, and an error between them.
        (f"B = ({ROW})\n" * 100 + f"= {ROW}\nA = [{ROW},{ROW}]\n", ["a" * 256] * 2),
        ("A = " + "[" * 90 + "]" * 90, None),
        ("A = \\\n  \\\n 'b'", "b"),
        ("B = 1\n" * 20_000 + "A = 2", 2),
    ],
)
def test_long_files_are_read(limited, tmp_path, text, value):
    path = tmp_path / "config.gin"
    path.write_text(text, "utf-8")
    found = limited.run(value_of, path)
    assert found == value if value is not None else str(found) == "[" * 90 + "]" * 90


@pytest.mark.parametrize("opening", ["[", "(", "{1: "])
def test_nested_values(limited, tmp_path, opening):
    path = tmp_path / "config.gin"
    path.write_text("A = " + f"{opening * 100}\n" * 100)
    with pytest.raises(CheckpointError, match="nested too deeply"):
        limited.run(value_of, path)
