"""Corrections of common mistakes in gin bindings and files."""

import dataclasses

import gin
import pytest

from spectrodiff.commands.shared import gin_files
from spectrodiff.commands.shared.gin_errors import correct, is_value
from spectrodiff.core.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Concert:
    """A class to configure."""

    bars: int = 8
    hall: str = "small"
    loud: bool = False
    players: tuple = ()


@pytest.fixture(autouse=True)
def clear_gin():
    yield
    gin.clear_config()


# A wrong binding, the right one, and the field's value that it gives.
CORRECTED = [
    ("Concert.hall = large", "Concert.hall = 'large'", "large"),
    ("Concert.hall = runs/a-b", "Concert.hall = 'runs/a-b'", "runs/a-b"),
    ("Concert.hall = gs://a/b", "Concert.hall = 'gs://a/b'", "gs://a/b"),
    ("Concert.hall = dpm++", "Concert.hall = 'dpm++'", "dpm++"),
    ("Concert.hall = my hall", "Concert.hall = 'my hall'", "my hall"),
    ("Concert.hall = 'large", "Concert.hall = 'large'", "large"),
    ("Concert.hall = “large”", 'Concert.hall = "large"', "large"),
    ("Concert.loud = true", "Concert.loud = True", True),
    ("Concert.loud = FALSE", "Concert.loud = False", False),
    ("Concert.hall = none", "Concert.hall = None", None),
    ("Concert.bars 3", "Concert.bars = 3", 3),
    ("Concert.bars: 3", "Concert.bars = 3", 3),
    ("Concert.bars == 3", "Concert.bars = 3", 3),
    ("Concert.bars = 3;", "Concert.bars = 3", 3),
    ("Concert.bars = BARS", "Concert.bars = %BARS", 5),
    ("Concert.players = (ann, bob)", "Concert.players = ('ann', 'bob')", ("ann", "bob")),
    ("Concert.players = ('ann' bob)", "Concert.players = ('ann', 'bob')", ("ann", "bob")),
    ("Concert.players = (1 2)", "Concert.players = (1, 2)", (1, 2)),
    ("Concert.players = (-1 2.5, 3)", "Concert.players = (-1, 2.5, 3)", (-1, 2.5, 3)),
    ("Concert.players = ((1, 2) (3, 4))", "Concert.players = ((1, 2), (3, 4))", ((1, 2), (3, 4))),
    ("Concert.players = [1, 2", "Concert.players = [1, 2]", [1, 2]),
    ("Concert.players = 1, 2", "Concert.players = (1, 2)", (1, 2)),
    ("Concert.players = 1 2", "Concert.players = (1, 2)", (1, 2)),
    ("Concert.players = {'a': 1 'b': 2}", "Concert.players = {'a': 1, 'b': 2}", {"a": 1, "b": 2}),
    ("Concert.players = (1, # one\n  2 3)", "Concert.players = (1, 2, 3)", (1, 2, 3)),
]


@pytest.mark.parametrize(("wrong", "right", "value"), CORRECTED, ids=[row[0] for row in CORRECTED])
def test_mistakes_are_refused_with_a_line_that_gin_reads(wrong, right, value, tmp_path):
    macro = "BARS = 5"
    with pytest.raises(ConfigError) as caught:
        gin_files.parse([Concert], [], [macro, wrong])
    assert caught.value.subject == "--gin_bindings"
    assert caught.value.expected.startswith(f'"{right}", with ')
    assert caught.value.got == " ".join(wrong.split())
    file = tmp_path / "concert.gin"
    file.write_text(f"{macro}\n\n# A comment.\n{wrong}\nConcert.bars = %BARS\n")
    with pytest.raises(ConfigError) as caught:
        gin_files.parse([Concert], [str(file)], [])
    assert caught.value.subject == f"{file}, line 4"
    assert caught.value.expected.startswith(f"{right}, with ")
    # The line that is proposed is one.
    file.write_text(f"{macro}\n{right}\n")
    gin_files.parse([Concert], [str(file)], [])
    assert list(gin_files.given(Concert).values()) == [value]


def test_mistakes_in_included_files_are_found(tmp_path):
    # Names that no other test has: gin looks in the folders of earlier calls, too.
    (tmp_path / "inner.gin").write_text("Concert.loud = (\n  true\n")
    outer = tmp_path / "outer.gin"
    for text, message in (
        ("include 'inner.gin'\n", r"inner.gin, line 1: expected Concert.loud = \( True\), with"),
        ("include inner.gin\n", r"outer.gin, line 1: expected include 'inner.gin', with quotes"),
        ("include 'nowhere.gin'\n", r"nowhere.gin: expected a gin file, got no such file"),
    ):
        outer.write_text(text)
        with pytest.raises(ConfigError, match=message):
            gin_files.parse([Concert], ["outer.gin"], [], str(tmp_path))


def test_an_unknown_macro_is_suggested():
    message = r"a value for the macro BRAS, got none \(did you mean %BARS\?\)"
    with pytest.raises(ConfigError, match=message):
        gin_files.parse([Concert], [], ["BARS = 3", "Concert.bars = %BRAS"])


@pytest.mark.parametrize(
    "statement",
    [
        "Concert.bars = 3",
        "Concert.bars = %BARS",
        "Concert.players = (@Row(), @a/Row(), %b.C)",
        "Concert.players = ['# no comment', 'it''s']  # a comment",
        "Concert.bars =",
        "= 3",
        "Concert bars = 3",
        "include 'a.gin'",
    ],
)
def test_what_is_right_or_unclear_is_not_corrected(statement):
    assert correct(statement, {"BARS"}) is None


def test_values():
    assert all(map(is_value, ["1", "-1e-3", "'a'", "(1,)", "[%A, @b/C()]", "{'a': None}", "True"]))
    assert not any(map(is_value, ["a", "1, 2", "(1 2)", "'a", "true", "1;", ""]))
