"""Choice of the replacement of an unknown instrument; expected values were derived by hand."""

import pytest

from spectrodiff.music.instruments import instrument
from spectrodiff.music.programs import SLAKH_CLASSES
from spectrodiff.music.substitution import Register, choose

FIVE = (0, 24, 33, 48, 73)  # piano, guitar, electric bass, strings, flute


def chosen(program, low, high, programs):
    # The result does not depend on the order of the programs.
    forwards = choose(program, Register(low, high), programs)
    assert choose(program, Register(low, high), programs[::-1]) == forwards
    return forwards


class TestRules:
    def test_the_nearest_program_number_of_the_same_kind(self):
        assert chosen(27, 50, 60, (24, 26, 29)) == 26
        assert chosen(57, 56, 60, (56, 60)) == 56
        # Two are equally near: the lower number.
        assert chosen(57, 56, 57, (56, 58)) == 56

    def test_the_same_kind_is_preferred_slightly_outside_its_range(self):
        # Lowest pitches: oboe 58, flute 60, violin 55.
        assert chosen(71, 53, 64, (40, 68)) == 68
        assert chosen(71, 52, 64, (40, 68)) == 68
        assert chosen(71, 51, 64, (40, 68)) == 40

    def test_a_sufficient_range_is_preferred_within_the_same_kind(self):
        # The oboe part is too high for the baritone saxophone (36 to 69), but not for the clarinet.
        assert chosen(68, 70, 74, (67, 71)) == 71
        assert chosen(68, 60, 66, (67, 71)) == 67

    def test_sustained_notes_stay_sustained(self):
        # The harp is in the family of the violin, the string ensemble is not.
        assert chosen(40, 60, 70, (46, 48)) == 48
        assert chosen(19, 50, 70, (0, 48)) == 48
        assert chosen(42, 45, 55, (0, 73)) == 0  # too low for the flute
        assert chosen(42, 54, 60, (0, 73)) == 73  # half an octave below its range is tolerated

    def test_decaying_notes_stay_decaying(self):
        assert chosen(46, 60, 70, (40, 0)) == 0
        assert chosen(45, 60, 70, (48, 24)) == 24
        assert chosen(11, 60, 70, (73, 0)) == 0

    def test_bass_stays_bass(self):
        assert chosen(32, 36, 43, FIVE) == 33
        assert chosen(38, 60, 66, FIVE) == 33
        # Except for a part two octaves higher.
        assert chosen(38, 84, 90, FIVE) == 0
        # Without a bass: a decaying instrument with a low range.
        assert chosen(32, 36, 43, (0, 48, 73)) == 0

    def test_low_parts_get_low_instruments_and_high_parts_high_ones(self):
        assert chosen(60, 65, 72, FIVE) == 73
        assert chosen(60, 45, 52, FIVE) == 48
        assert chosen(58, 34, 40, (33, 73)) == 33
        # Two saxophones, equally similar to the trumpet: the one centered nearest to the register.
        assert chosen(56, 62, 72, (64, 67)) == 64
        assert chosen(56, 50, 60, (64, 67)) == 67

    def test_a_register_partly_below_the_range(self):
        # The lowest pitch of the flute is 60.
        assert chosen(57, 57, 60, FIVE) == 48
        assert chosen(57, 60, 64, FIVE) == 73

    def test_the_nearest_range_is_chosen_if_none_is_sufficient(self):
        assert chosen(0, 20, 30, (73, 68)) == 68
        assert chosen(76, 110, 115, (0, 73)) == 0

    @pytest.mark.parametrize(
        ("program", "expected"),
        [
            (4, 0),  # electric piano: piano
            (11, 0),  # vibraphone: piano
            (19, 48),  # church organ: strings
            (21, 48),  # accordion: strings
            (30, 24),  # distorted guitar: guitar
            (40, 48),  # violin: strings
            (44, 48),  # tremolo strings: strings
            (46, 24),  # harp: guitar
            (52, 48),  # choir: strings
            (55, 0),  # orchestra hit: piano
            (56, 73),  # trumpet: flute
            (61, 48),  # brass section: strings
            (71, 73),  # clarinet: flute
            (72, 73),  # piccolo: flute
            (80, 73),  # square lead: flute
            (88, 48),  # pad: strings
            (98, 0),  # crystal: piano
            (104, 24),  # sitar: guitar
            (109, 73),  # bagpipe: flute
            (110, 48),  # fiddle: strings
            (111, 73),  # shanai: flute
            (114, 0),  # steel drums: piano
            (122, 48),  # seashore: strings
        ],
    )
    def test_a_middle_register_with_five_instruments(self, program, expected):
        assert chosen(program, 64, 72, FIVE) == expected

    def test_low_pitched_drums_become_bass(self):
        assert chosen(47, 40, 45, FIVE) == 33
        assert chosen(115, 75, 80, FIVE) == 0


def test_a_known_instrument_is_chosen_for_itself():
    for program in SLAKH_CLASSES:
        own = instrument(program)
        assert chosen(program, own.low, own.high, tuple(SLAKH_CLASSES)) == program
