import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrodiff.checkpoints.layouts.gin_file import GinFile
from spectrodiff.core.errors import CheckpointError


@pytest.fixture
def gin(tmp_path):
    def write(text):
        path = tmp_path / "config.gin"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return GinFile(path)

    return write


def test_values(gin):
    file = gin(
        "import os\n"
        "from somewhere import anything as alias\n"
        "include '/etc/passwd'\n"
        "SIZE = 3  # a macro\n"
        "LENGTHS = {'a': 1,\n"
        "           'b': (2, 3)}\n"
        "some.module.Thing.width = %SIZE\n"
        "Thing.made = @other/module.Maker()\n"
        "scope/Thing.width = 5\n"
        "module.Block:\n"
        "  first = 1\n"
        "\n"
        "  second = 'two'  # with a comment\n"
        "Thing.again = 1\n"
        "Thing.again = 2\n"
    )
    assert file.get("SIZE") == 3
    assert file.get("LENGTHS") == {"a": 1, "b": (2, 3)}
    assert file.get("Thing.width") == 3
    assert file.get("scope/Thing.width") == 5
    assert file.get("Block.first") == 1
    assert file.get("Block.second") == "two"
    assert file.get("Thing.again") == 2  # the last one counts, as in gin
    assert file.get("Thing.made") is None  # only code could say
    assert file.get("Thing.other", "default") == "default"


def test_nothing_is_imported_or_included(gin, tmp_path, monkeypatch):
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    file = gin(f"import trap\ninclude '{tmp_path / 'no such file'}'\nA = @trap.f()\nB = 1\n")
    assert file.get("B") == 1


def test_lines_that_gin_would_not_take_are_left_out(gin):
    file = gin("A = 1\nwhat is this?\nB = = 2\nC = {[]: 1}\nD = lambda: 1\nE = 5\n")
    assert [file.get(name) for name in "ABCDE"] == [1, None, None, None, 5]


def test_macros_in_a_circle(gin):
    file = gin("A = %B\nB = %A\n")
    assert file.get("A", "default") == "default"
    with pytest.raises(CheckpointError, match="a value for A"):
        file.require("A")


@pytest.mark.parametrize("text", [b"A = '\xff'\n", b"A = 1\n" * 200_000, b"A = " + b"[" * 20_000])
def test_what_is_no_gin_file(gin, text):
    with pytest.raises(CheckpointError):
        gin(text).require("A")


@settings(deadline=None)
@given(text=st.text(alphabet="Ab.=:%@/({[]})'\"\\#\n \t1,", max_size=60))
def test_any_text_is_read_or_left_out(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.gin"
    path.write_text("FIRST = 1\n" + text)
    assert GinFile(path).get("FIRST") in (1, None)
