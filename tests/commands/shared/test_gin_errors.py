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
    ("Concert.players = [none, True, x]", "Concert.players = [None, True, 'x']", [None, True, "x"]),
    ("Concert.bars 3", "Concert.bars = 3", 3),
    ("Concert.bars: 3", "Concert.bars = 3", 3),
    ("Concert.bars == 3", "Concert.bars = 3", 3),
    ("Concert.bars = BARS", "Concert.bars = %BARS", 5),
    ("Concert.players = (ann, bob)", "Concert.players = ('ann', 'bob')", ("ann", "bob")),
    ("Concert.players = ['ann',  # one\nbob]", "Concert.players = ['ann', 'bob']", ["ann", "bob"]),
    ("Concert.players = ['a  b', c]", "Concert.players = ['a  b', 'c']", ["a  b", "c"]),
    ("Concert.players = {a: BARS}", "Concert.players = {'a': %BARS}", {"a": 5}),
]

# Statements of which it is unclear what they should be, and what is said of them.
UNCLEAR = [
    ("Concert.bars = 3;", "nothing behind the value"),
    ("Concert.bars = 1,000,000", "a number without spaces and commas, or several in brackets"),
    ("Concert.bars = 1 000 000", "a number without spaces and commas, or several in brackets"),
    ("Concert.bars = 1,5e-4", "a number without spaces and commas, or several in brackets"),
    ("Concert.players = 1, 2", "a number without spaces and commas, or several in brackets"),
    ("Concert.players = ann, bob", "several values in brackets"),
    ("Concert.hall = don't, won't", "several values in brackets"),
    ("Concert.bars = BARS * 2", "a result, since gin does not calculate"),
    ("Concert.bars = 2**10", "a result, since gin does not calculate"),
    ("Concert.bars = 1/3", "a result, since gin does not calculate"),
    ("Concert.hall = 'a' + 'b'", "a result, since gin does not calculate"),
    ("Concert.players = ('ann' bob)", "commas between values"),
    ("Concert.players = ((1, 2) (3, 4))", "commas between values"),
    ("Concert.players = (1, # one\n  2 3)", "commas between values"),
    ("Concert.players = [1, 2", "a closing bracket"),
    ("Concert.bars = -BARS", None),
    ("Concert.loud = yes", None),
    ("Concert.hall = C:\\new", None),
    ("Concert.hall = it's", None),
    ("Concert.bars[3]", None),
]


@pytest.mark.parametrize(("wrong", "right", "value"), CORRECTED, ids=[row[0] for row in CORRECTED])
def test_mistakes_are_refused_with_a_line_that_gin_reads(wrong, right, value, tmp_path):
    macro = "BARS = 5"
    with pytest.raises(ConfigError) as caught:
        gin_files.parse([Concert], [], [macro, wrong])
    assert caught.value.subject == "--gin_bindings"
    assert caught.value.expected.startswith(f'"{right}", with ')
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


@pytest.mark.parametrize(("wrong", "rule"), UNCLEAR, ids=[row[0] for row in UNCLEAR])
def test_no_line_is_proposed_that_may_be_wrong(wrong, rule):
    with pytest.raises(ConfigError) as caught:
        gin_files.parse([Concert], [], ["BARS = 5", "Concert.hall = %BARS", wrong])
    assert caught.value.subject == "--gin_bindings"
    wanted = f"gin syntax, with {rule}" if rule else "gin syntax (text in quotes)"
    assert caught.value.expected == wanted
    assert caught.value.got == " ".join(wrong.split())


@pytest.mark.parametrize(
    ("text", "line", "got"),
    [
        ("import math\nConcert.bars = [3\nConcert.loud = True\n", 2, "Concert.bars = [3"),
        ("Concert.bars = \\\n  3\nConcert.hall = large\n", 3, "Concert.hall = large"),
        ("Concert.bars = 3\n  Concert.hall = large\n", 2, "Concert.hall = large"),
        (
            "Concert.players = [\n'a', # it's\n'b'\n]\n# x\nConcert.hall = b\n",
            6,
            "Concert.hall = b",
        ),
        ("Concert:\n  bars = 3\n  hall = large\n", 1, "Concert: bars = 3 hall = large"),
        ("Concert.hall = 'large'\r\nConcert.bars = x\r\n", 2, "Concert.bars = x"),
    ],
)
def test_only_what_gin_refuses_is_blamed(text, line, got, tmp_path):
    file = tmp_path / "blamed.gin"
    file.write_bytes(text.encode())
    with pytest.raises(ConfigError) as caught:
        gin_files.parse([Concert], [str(file)], [])
    assert (caught.value.subject, caught.value.got) == (f"{file}, line {line}", got)


def test_a_binding_of_two_lines():
    with pytest.raises(ConfigError) as caught:
        gin_files.parse([Concert], [], ["Concert.bars=4\nConcert.hall=large"])
    assert caught.value.got == "Concert.hall=large"
    assert caught.value.expected == "\"Concert.hall = 'large'\", with text in quotes"


@pytest.mark.parametrize("name", ["band", "band.gin", "configs/band", "configs/band.gin"])
def test_files_are_included_by_the_names_that_flags_take(name, tmp_path):
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "band.gin").write_text("Concert.bars = 7\n")
    (folder / "with_band.gin").write_text(f"include '{name}'\nConcert.loud = True\n")
    gin_files.parse([Concert], ["with_band"], [], str(folder))
    assert gin_files.given(Concert) == {"bars": 7, "loud": True}


def test_files_that_include_themselves(tmp_path):
    (tmp_path / "round.gin").write_text("include 'about.gin'\n")
    (tmp_path / "about.gin").write_text("Concert.bars = 3\ninclude 'round.gin'\n")
    message = r"about.gin, line 2: expected files that do not include themselves, got include 'rou"
    with pytest.raises(ConfigError, match=message):
        gin_files.parse([Concert], ["round.gin"], [], str(tmp_path))


def test_a_name_that_is_too_long():
    with pytest.raises(ConfigError, match="a: expected a gin file, got no such file"):
        gin_files.parse([Concert], ["a" * 5000], [])


def test_mistakes_in_included_files_are_found(tmp_path):
    # Names that no other test has: gin looks in the folders of earlier calls, too.
    (tmp_path / "inner.gin").write_text("Concert.loud = (\n  true\n)\n")
    outer = tmp_path / "outer.gin"
    for text, message in (
        ("include 'inner.gin'\n", r"inner.gin, line 1: expected Concert.loud = \( True \), with"),
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
