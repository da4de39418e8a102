import dataclasses

import gin
import pytest

from spectrodiff.commands.shared import gin_files
from spectrodiff.core.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Rehearsal:
    """A class to configure."""

    bars: int = 8
    tempo: float = 120.0
    leader: str = "nobody"

    def __post_init__(self):
        if self.bars < 1:
            raise ConfigError("Rehearsal.bars", "at least 1", str(self.bars))


@pytest.fixture(autouse=True)
def clear_gin():
    yield
    gin.clear_config()


def test_bindings_win_over_files_and_overrides_over_both(tmp_path):
    (tmp_path / "a.gin").write_text("TEMPO = 90.0\nRehearsal.tempo = %TEMPO\nRehearsal.bars = 2\n")
    (tmp_path / "b.gin").write_text("include 'a.gin'\nRehearsal.bars = 3\n")
    gin_files.parse([Rehearsal], ["b.gin"], ["Rehearsal.leader = 'ann'"], str(tmp_path))
    assert gin_files.filled(Rehearsal) == Rehearsal(3, 90.0, "ann")
    assert gin_files.filled(Rehearsal, bars=5, leader=None) == Rehearsal(5, 90.0, "ann")
    # Settings read before are removed.
    gin_files.parse([Rehearsal], [], [])
    assert gin_files.filled(Rehearsal) == Rehearsal()


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        ("Rehersal.bars = 1", r"a name that can be configured, got 'Rehersal' \(did you mean 'Reh"),
        ("Rehearsal.bar = 1", r"a setting of Rehearsal, got 'bar' \(did you mean 'bars'\?\)"),
        ("Rehearsal.xyz = 1", "a setting of Rehearsal: bars, tempo, leader, got 'xyz'"),
        ("Rehearsal.leader = @an()", r"a class behind the @.*, got 'an'"),
        ("Rehearsal.leader = ann", r'"Rehearsal.leader = .ann.", with text in quotes, got Re'),
        ("Rehearsal.bars == 1", '"Rehearsal.bars = 1", with one = between name and value'),
        ("Rehearsal.bars =", "gin syntax"),
    ],
)
def test_errors_have_a_suggestion(binding, message):
    with pytest.raises(ConfigError, match=message):
        gin_files.parse([Rehearsal], [], [binding])


def test_undefined_macro_and_impossible_value():
    gin_files.parse([Rehearsal], [], ["Rehearsal.bars = 0"])
    with pytest.raises(ConfigError, match=r"Rehearsal.bars: expected at least 1, got 0"):
        gin_files.filled(Rehearsal)
    with pytest.raises(ConfigError, match="a value for the macro BARS, got none"):
        gin_files.parse([Rehearsal], [], ["Rehearsal.bars = %BARS"])


def test_a_macro_that_is_not_used(tmp_path):
    (tmp_path / "a.gin").write_text("TEMPO = 90.0\nRehearsal.tempo = %TEMPO\n")
    gin_files.parse([Rehearsal], ["a.gin"], ["TEMPO = 60.0"], str(tmp_path))
    assert gin_files.filled(Rehearsal).tempo == 60.0
    with pytest.raises(ConfigError, match=r"got 'TEMP' \(did you mean 'TEMPO'\?\)"):
        gin_files.parse([Rehearsal], ["a.gin"], ["TEMP = 60.0"], str(tmp_path))
    with pytest.raises(ConfigError, match="a macro of these files: there is none, got 'BARS'"):
        gin_files.parse([Rehearsal], [], ["BARS = 3"])


def test_given_values_are_not_checked():
    gin_files.parse([Rehearsal], [], ["BARS = 0", "Rehearsal.bars = %BARS"])
    assert gin_files.given(Rehearsal) == {"bars": 0}
    gin_files.parse([Rehearsal], [], [])
    assert gin_files.given(Rehearsal) == {}


def test_errors_are_one_line_without_lines_of_gin():
    gin_files.parse([Rehearsal], [], ["Rehearsal.bars = 0"])
    with pytest.raises(ConfigError) as caught:
        gin_files.filled(Rehearsal)
    assert str(caught.value) == "Rehearsal.bars: expected at least 1, got 0"


def test_missing_file():
    with pytest.raises(ConfigError, match=r"nowhere.gin: expected a gin file, got no such file"):
        gin_files.parse([Rehearsal], ["nowhere.gin"], [])
