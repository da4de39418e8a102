"""Choice of the known instrument that plays an unknown part; each rule worked out by hand."""

import pytest

from spectrodiff.music.instruments import instrument
from spectrodiff.music.programs import SLAKH_CLASSES
from spectrodiff.music.substitution import Register, choose

FIVE = (0, 24, 33, 48, 73)  # piano, guitar, electric bass, strings, flute


def chosen(program, low, high, programs):
    # The order of the programs decides nothing.
    forwards = choose(program, Register(low, high), programs)
    assert choose(program, Register(low, high), programs[::-1]) == forwards
    return forwards


class TestRules:
    def test_the_next_in_number_of_the_same_kind(self):
        assert chosen(27, 50, 60, (24, 26, 29)) == 26
        assert chosen(57, 56, 60, (56, 60)) == 56
        # Two are next: the lower number.
        assert chosen(57, 56, 57, (56, 58)) == 56

    def test_the_same_kind_is_taken_though_a_part_reaches_out_a_little(self):
        # Oboes go down to 58, flutes to 60, violins to 55.
        assert chosen(71, 53, 64, (40, 68)) == 68
        assert chosen(71, 52, 64, (40, 68)) == 68
        assert chosen(71, 51, 64, (40, 68)) == 40

    def test_of_the_same_kind_one_that_can_reach_is_better(self):
        # An oboe's line is too high for the baritone saxophone (36 to 69), not for the clarinet.
        assert chosen(68, 70, 74, (67, 71)) == 71
        assert chosen(68, 60, 66, (67, 71)) == 67

    def test_held_notes_stay_held(self):
        # The harp is of the violin's family, the strings are not.
        assert chosen(40, 60, 70, (46, 48)) == 48
        assert chosen(19, 50, 70, (0, 48)) == 48
        assert chosen(42, 45, 55, (0, 73)) == 0  # a flute cannot
        assert chosen(42, 54, 60, (0, 73)) == 73  # but for half an octave it is the one

    def test_plucked_notes_stay_plucked(self):
        assert chosen(46, 60, 70, (40, 0)) == 0
        assert chosen(45, 60, 70, (48, 24)) == 24
        assert chosen(11, 60, 70, (73, 0)) == 0

    def test_bass_stays_bass(self):
        assert chosen(32, 36, 43, FIVE) == 33
        assert chosen(38, 60, 66, FIVE) == 33
        # A part two octaves higher is none.
        assert chosen(38, 84, 90, FIVE) == 0
        # Without a bass, what is plucked and goes deep.
        assert chosen(32, 36, 43, (0, 48, 73)) == 0

    def test_low_lines_go_to_low_instruments_and_high_ones_to_high(self):
        assert chosen(60, 65, 72, FIVE) == 73
        assert chosen(60, 45, 52, FIVE) == 48
        assert chosen(58, 34, 40, (33, 73)) == 33
        # Akin to the trumpet alike: the saxophone in whose middle the line lies.
        assert chosen(56, 62, 72, (64, 67)) == 64
        assert chosen(56, 50, 60, (64, 67)) == 67

    def test_the_part_counts_not_its_extremes_alone(self):
        # Half of the notes from 57 to 60 are too low for a flute, which begins at 60.
        assert chosen(57, 57, 60, FIVE) == 48
        assert chosen(57, 60, 64, FIVE) == 73

    def test_where_nothing_can_reach_the_nearest_is_taken(self):
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
    def test_a_line_in_the_middle_with_five_instruments(self, program, expected):
        assert chosen(program, 64, 72, FIVE) == expected

    def test_deep_drums_are_basses(self):
        assert chosen(47, 40, 45, FIVE) == 33
        assert chosen(115, 75, 80, FIVE) == 0


def test_everything_known_plays_itself_within_its_compass():
    for program in SLAKH_CLASSES:
        compass = instrument(program)
        assert chosen(program, compass.low, compass.high, tuple(SLAKH_CLASSES)) == program
