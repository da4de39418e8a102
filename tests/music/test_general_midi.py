"""Names of instruments and drums, compared with those of pretty_midi."""

import re

import pretty_midi
import pytest

from spectrodiff.music.general_midi import (
    DRUM_NAMES,
    PROGRAM_NAMES,
    drum_name,
    enumerate_names,
    short_names,
)


def stems(name):
    """Returns the first four letters of each word, so that "echoes" equals "echo"."""
    return {word[:4] for word in re.findall("[a-z]+", name.lower().replace("bag pipe", "bagpipe"))}


def test_program_names_agree_with_pretty_midi():
    assert len(PROGRAM_NAMES) == 128
    different = {
        name
        for number, name in enumerate(PROGRAM_NAMES)
        if not stems(name) & stems(pretty_midi.program_to_instrument_name(number))
    }
    assert not different


def test_drum_names_agree_with_pretty_midi():
    assert sorted(DRUM_NAMES) == list(range(27, 88))
    different = {
        key
        for key in range(35, 82)
        if not stems(DRUM_NAMES[key]) & stems(pretty_midi.note_number_to_drum_name(key))
    }
    assert not different


@pytest.mark.parametrize("names", [PROGRAM_NAMES, tuple(DRUM_NAMES.values())])
def test_names_are_plain_and_differ(names):
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z]+([ -][a-z]+)*", name) for name in names)


def test_a_drum_without_a_name():
    assert (drum_name(36), drum_name(75), drum_name(100)) == ("bass drum", "claves", "drum 100")


def test_short_names():
    assert short_names((0, 24, 33, 48, 73)) == {
        0: "piano",
        24: "guitar",
        33: "bass",
        48: "strings",
        73: "flute",
    }
    # Two guitars; a name of one word; a name that is taken.
    assert short_names((24, 26, 40)) == {24: "nylon guitar", 26: "jazz guitar", 40: "violin"}
    assert short_names((59,)) == {59: "trumpet"}
    assert short_names((59,), taken=["trumpet"]) == {59: "muted trumpet"}


def test_phrases():
    assert enumerate_names(["a"]) == "a"
    assert enumerate_names(["a", "b"]) == "a and b"
    assert enumerate_names(["a", "b", "c"]) == "a, b and c"
