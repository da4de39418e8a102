"""Command lines with two dashes, behind which nothing is a flag."""

import pytest

from spectrodiff.commands.shared.parser import Parser


def parser():
    made = Parser(prog="play")
    made.add_argument("songs", nargs="+")
    made.add_argument("--times", nargs=2, type=float)
    made.add_argument("--tags", nargs="*")
    made.add_argument("--steps", type=int)
    return made


@pytest.mark.parametrize(
    ("line", "songs", "flags"),
    [
        ("a --times .1 .2 -- b", ["a", "b"], {"times": [0.1, 0.2]}),
        ("a --times .1 .2 b -- -c --steps", ["a", "b", "-c", "--steps"], {"times": [0.1, 0.2]}),
        ("a --tags x y -- b", ["a", "b"], {"tags": ["x", "y"]}),
        ("--steps 3 -- -- b", ["--", "b"], {"steps": 3}),
        ("a --", ["a"], {}),
        ("-- a --tags", ["a", "--tags"], {}),
    ],
)
def test_two_dashes_end_the_flags(line, songs, flags):
    parsed = vars(parser().parse_args(line.split()))
    unset = {"times": None, "tags": None, "steps": None}
    assert parsed == {"songs": songs, **unset, **flags}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a --steps -- 3", "--steps: expected a value, got none"),
        ("a --times .1 -- .2", "--times: expected 2 values, got fewer"),
        ("--steps 3 --", "play: expected songs, got none"),
    ],
)
def test_values_of_flags_stand_before_them(line, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(line.split())
    assert capsys.readouterr().err == f"error: {message}\n"


def test_arguments_that_are_too_many(capsys):
    made = Parser(prog="play")
    made.add_argument("song")
    with pytest.raises(SystemExit, match="2"):
        made.parse_args(["a", "--", "-b"])
    assert capsys.readouterr().err == "error: play: expected no more arguments, got -b\n"
