"""Adaptation of songs to known instruments; expected values were derived by hand."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrodiff.core.errors import ConfigError, MidiError
from spectrodiff.music.general_midi import PROGRAM_NAMES
from spectrodiff.music.known_instruments import (
    LeftOutDrum,
    Replacement,
    adapt,
    check_instruments,
    describe,
    find_register,
)
from spectrodiff.music.midi.reader import read_midi
from spectrodiff.music.programs import SLAKH_CLASSES, ProgramMap, map_program_numbers
from spectrodiff.music.substitution import Register
from tests.support.notation import Row, note_rows, note_table

EXAMPLES = Path(__file__).parents[2] / "examples"
PIANO, GUITAR, BASS, STRINGS, FLUTE = 0, 24, 33, 48, 73
FIVE = (PIANO, GUITAR, BASS, STRINGS, FLUTE)


@dataclasses.dataclass(frozen=True)
class Known:
    """Instruments of a model; by default five programs and no drums."""

    programs: tuple[int, ...] | None = FIVE
    drums: tuple[int, ...] | None = ()
    program_map: ProgramMap = "slakh"


MINI = Known()


def note(onset: float, offset: float, pitch: int, program: int, velocity: int = 80) -> Row:
    return (onset, offset, pitch, velocity, program, False)


def hit(onset: float, key: int) -> Row:
    return (onset, onset + 0.1, key, 80, 0, True)


def adapted(rows: list[Row], known: Known = MINI) -> list[Row]:
    return note_rows(adapt(note_table(rows), known).notes)


def description(rows: list[Row], known: Known = MINI) -> str | None:
    return describe(adapt(note_table(rows), known), known, song="a.mid", model="mini")


class TestReplacing:
    def test_an_unknown_program_is_replaced_by_a_known_one(self):
        adaptation = adapt(note_table([note(0, 1, 72, 56), note(1, 2, 74, 56)]), Known())
        assert note_rows(adaptation.notes) == [note(0, 1, 72, FLUTE), note(1, 2, 74, FLUTE)]
        assert adaptation.replacements == (Replacement(56, FLUTE, 2),)

    def test_known_parts_keep_their_programs(self):
        # 25, the steel guitar, belongs to Slakh's class 24; 39, a synth bass, to 33.
        rows = [note(0, 1, 60, 25), note(0, 1, 36, 39), note(0, 1, 60, 72)]
        assert adapted(rows) == [*rows[:2], note(0, 1, 60, FLUTE)]

    def test_the_program_of_the_song_decides_not_its_class(self):
        # The Slakh class of the piccolo (72) is the clarinet, that of the sitar (104) the pad.
        replacements = adapt(
            note_table([note(0, 1, 80, 72), note(0, 1, 60, 104)]), Known()
        ).replacements
        assert replacements == (Replacement(72, FLUTE, 1), Replacement(104, GUITAR, 1))

    def test_each_program_has_its_own_register(self):
        rows = [note(0, 1, 76, 56), note(0, 1, 43, 57)]
        assert [row[4] for row in adapted(rows)] == [FLUTE, STRINGS]

    def test_programs_of_other_maps(self):
        # The family of the viola (41) is known; the viola itself is not.
        rows = [note(0, 1, 70, 41)]
        assert adapted(rows, Known((40, 0), program_map="midi_class")) == rows
        assert adapted(rows, Known((0, 40), program_map="full")) == [note(0, 1, 70, 40)]
        assert adapted(rows, Known((0,), program_map="flat")) == rows

    def test_a_model_that_knows_everything(self):
        song = note_table([note(0, 1, 70, 41), hit(0, 99)])
        assert note_rows(adapt(song, Known(None, None)).notes) == note_rows(song)

    def test_a_song_without_notes_stays_one(self):
        adaptation = adapt(note_table([], total_seconds=3.0), Known())
        assert (len(adaptation.notes), adaptation.notes.total_seconds) == (0, 3.0)

    def test_a_song_keeps_its_length(self):
        song = note_table([note(0, 1, 60, 56), hit(1, 38)], total_seconds=7.0)
        assert adapt(song, Known()).notes.total_seconds == 7.0


class TestRegister:
    def test_quartiles_of_sounding_time(self):
        # Pitches 60 to 67 with one second each: the first quartile of eight seconds is in 61.
        rows = [note(0, 1, 60 + step, 56) for step in (3, 0, 1, 2, 7, 6, 5, 4)]
        assert find_register(note_table(rows)) == Register(61, 65)

    def test_long_notes_count_more(self):
        rows = [note(0, 9, 40, 56), *(note(0, 0.1, 80, 56) for _ in range(20))]
        assert find_register(note_table(rows)) == Register(40, 40)

    def test_notes_without_duration_count_if_there_are_no_others(self):
        rows = [note(1, 1, 60, 56), note(1, 1, 62, 56)]
        assert find_register(note_table(rows)) == Register(60, 62)
        assert find_register(note_table([*rows, note(1, 2, 50, 56)])) == Register(50, 50)


class TestMergedParts:
    def test_a_note_ends_at_the_next_onset_of_its_pitch(self):
        rows = [note(0, 4, 72, 56), note(1, 2, 72, FLUTE)]
        assert adapted(rows) == [note(0, 1, 72, FLUTE), note(1, 2, 72, FLUTE)]

    def test_simultaneous_notes_are_merged(self):
        rows = [note(0, 2, 72, 56, 60), note(0, 1, 72, 71, 90), note(0, 1, 72, FLUTE, 70)]
        assert adapted(rows) == [note(0, 2, 72, FLUTE, 90)]

    def test_simultaneous_notes_before_another(self):
        rows = [note(0, 3, 72, 56), note(0, 1, 72, 71, 90), note(2, 4, 72, 71)]
        assert adapted(rows) == [note(0, 2, 72, FLUTE, 90), note(2, 4, 72, FLUTE)]

    def test_a_class_counts_as_one_instrument(self):
        # 75, the pan flute, is mapped to 73 by the model's program map.
        rows = [note(0, 4, 72, 56), note(1, 2, 72, 75)]
        assert adapted(rows) == [note(0, 1, 72, FLUTE), note(1, 2, 72, 75)]

    def test_other_pitches_and_other_instruments_are_unchanged(self):
        rows = [note(0, 4, 72, 56), note(1, 2, 73, FLUTE), note(1, 2, 72, PIANO), hit(1, 72)]
        assert adapted(rows, Known(drums=None)) == [note(0, 4, 72, FLUTE), *rows[1:]]

    def test_a_part_with_an_instrument_of_its_own_is_unchanged(self):
        overlapping = [(0, 4, 72), (1, 2, 72), (3, 3, 72)]
        rows = [note(*times, program) for times in overlapping for program in (56, PIANO)]
        assert adapted(rows) == [
            note(*times, program) for times in overlapping for program in (FLUTE, PIANO)
        ]


WITH_DRUMS = [hit(0, 36), note(0, 1, 60, PIANO), hit(1, 38), hit(2, 36), hit(2, 75)]


class TestDrums:
    def test_all_are_left_out_if_none_is_known(self):
        adaptation = adapt(note_table(WITH_DRUMS), Known())
        assert note_rows(adaptation.notes) == [WITH_DRUMS[1]]
        assert adaptation.left_out == (
            LeftOutDrum(36, 2),
            LeftOutDrum(38, 1),
            LeftOutDrum(75, 1),
        )

    def test_known_drums_are_kept(self):
        known = Known(drums=(38, 36))
        assert adapted(WITH_DRUMS, known) == WITH_DRUMS[:4]
        assert adapted(WITH_DRUMS, Known(drums=None)) == WITH_DRUMS

    def test_a_song_with_only_drums(self):
        song = note_table([hit(0, 36), hit(1, 75)])
        with pytest.raises(MidiError) as error:
            adapt(song, Known(), song="a.mid", model="mini")
        assert str(error.value) == (
            "a.mid: expected notes other than drums (mini has no drums), got only drums"
        )
        with pytest.raises(MidiError) as error:
            adapt(song, Known(drums=(38,)), song="a.mid", model="mini")
        assert str(error.value) == (
            "a.mid: expected notes, or drums that mini knows, got only bass drum and claves"
        )
        assert len(adapt(song, Known(drums=(36,))).notes) == 1


class TestDescription:
    def test_one_line_about_a_song(self):
        rows = [note(0, 1, 72, 71), note(0, 1, 76, 56), hit(0, 36), note(0, 1, 60, PIANO)]
        assert description(rows) == (
            "a.mid: trumpet and clarinet replaced by flute, drums left out "
            "(mini knows piano, guitar, bass, strings and flute)"
        )

    def test_several_replacements(self):
        rows = [note(0, 1, 72, program) for program in (56, 40, 68, 71, 44)]
        assert description([*rows, hit(0, 36)]) == (
            "a.mid: violin and tremolo strings replaced by strings; trumpet, oboe and clarinet by "
            "flute; drums left out (mini knows piano, guitar, bass, strings and flute)"
        )

    def test_some_drums(self):
        rows = [hit(0, 36), hit(0, 75), hit(1, 58), hit(2, 75), hit(3, 99)]
        assert description(rows, Known((PIANO,), (36,))) == (
            "a.mid: vibraslap, claves and drum 99 left out (mini knows piano and bass drum)"
        )

    def test_no_changes(self):
        assert description([note(0, 1, 60, 25), note(0, 1, 60, PIANO)]) is None
        assert description([note(0, 1, 60, 56), hit(0, 99)], Known(None, None)) is None

    def test_ambiguous_names_are_not_abbreviated(self):
        known = Known((24, 26, 50))
        rows = [note(0, 1, 60, PIANO), note(0, 1, 60, 48)]
        assert description(rows, known) == (
            "a.mid: piano replaced by nylon guitar; strings by synth strings "
            "(mini knows nylon guitar, jazz guitar and strings)"
        )

    def test_long_lists_are_abbreviated(self):
        known = Known((*SLAKH_CLASSES,)[1:], tuple(range(35, 45)))
        song = [note(0, 1, 60, PIANO), hit(0, 40), *(hit(0, key) for key in range(45, 57))]
        assert description(song, known) == (
            "a.mid: piano replaced by electric piano, low tom, open hi-hat, low-mid tom, "
            "high-mid tom, crash cymbal, high tom, ride cymbal and 5 other drums left out "
            "(mini knows 33 instruments and 10 drums)"
        )

    def test_drums_of_a_model_with_all_drums(self):
        assert description([note(0, 1, 60, 56)], Known((PIANO,), None)) == (
            "a.mid: trumpet replaced by piano (mini knows piano and drums)"
        )


class TestValidation:
    @pytest.mark.parametrize(
        ("known", "message"),
        [
            (Known(()), "programs: expected programs of the map 'slakh', at least one, got none"),
            (Known((0, 25)), "programs: expected programs of the map 'slakh', .* got 25"),
            (Known((128, 0), program_map="full"), "got 128"),
            (Known(drums=(36, 128, -1)), "drums: expected keys in 0..127, got -1, 128"),
        ],
    )
    def test_invalid_instruments(self, known, message):
        with pytest.raises(ConfigError, match=message):
            check_instruments(known)
        with pytest.raises(ConfigError, match=message):
            adapt(note_table([note(0, 1, 60, 0)]), known)


ROWS = st.builds(
    lambda onset, length, pitch, velocity, program, is_drum: (
        onset / 4,
        (onset + length) / 4,
        pitch,
        velocity,
        program,
        is_drum,
    ),
    st.integers(0, 12),
    st.integers(0, 8),
    st.integers(58, 64) | st.integers(0, 127),
    st.integers(1, 127),
    st.integers(0, 127),
    st.booleans(),
)
SLAKH = sorted(SLAKH_CLASSES)
PROGRAMS = st.lists(st.sampled_from(SLAKH), min_size=1, unique=True).map(tuple)
DRUMS = st.none() | st.lists(st.integers(0, 127), max_size=60).map(tuple)


class TestProperties:
    @settings(max_examples=150, deadline=None)
    @given(st.lists(ROWS, max_size=20), PROGRAMS | st.none(), DRUMS)
    def test_the_result_is_known_and_complete(self, rows, programs, drums):
        song = note_table([*rows, note(0, 1, 60, PIANO)])
        known = Known(programs, drums)
        notes = adapt(song, known).notes
        pitched = notes.select(~notes.is_drum)
        mapped = map_program_numbers(pitched.program, "slakh").tolist()
        assert programs is None or set(mapped) <= set(programs)
        assert drums is None or set(notes.pitch[notes.is_drum].tolist()) <= set(drums)
        # Each onset of the song is kept.
        original = song.select(~song.is_drum)

        def onsets(notes):
            return set(zip(notes.onset_seconds.tolist(), notes.pitch.tolist(), strict=True))

        assert onsets(pitched) == onsets(original)
        assert len(pitched) <= len(original)
        hits = [row for row in note_rows(song) if row[5] and (drums is None or row[2] in drums)]
        assert [row for row in note_rows(notes) if row[5]] == hits

    @settings(max_examples=150, deadline=None)
    @given(st.lists(ROWS, max_size=20), PROGRAMS, DRUMS)
    def test_known_notes_are_unchanged(self, rows, programs, drums):
        known = Known(programs, drums)
        once = adapt(note_table([*rows, note(0, 1, 60, PIANO)]), known).notes
        again = adapt(once, known)
        assert note_rows(again.notes) == note_rows(once)
        assert describe(again, known, song="a", model="b") is None

    @settings(max_examples=150, deadline=None)
    @given(st.lists(ROWS, max_size=20), PROGRAMS, st.randoms())
    def test_the_order_of_the_notes_does_not_matter(self, rows, programs, random):
        rows = [*rows, note(0, 1, 60, PIANO)]
        shuffled = random.sample(rows, len(rows))
        known = Known(programs)
        one, other = (adapt(note_table(some), known) for some in (rows, shuffled))
        assert sorted(note_rows(one.notes)) == sorted(note_rows(other.notes))
        assert (one.replacements, one.left_out) == (other.replacements, other.left_out)

    @settings(max_examples=150, deadline=None)
    @given(st.lists(ROWS, max_size=20), PROGRAMS)
    def test_merged_parts_do_not_overlap(self, rows, programs):
        song = note_table([*rows, note(0, 1, 60, PIANO)])
        adaptation = adapt(song, Known(programs))
        notes = adaptation.notes.select(~adaptation.notes.is_drum)
        mapped = map_program_numbers(notes.program, "slakh")
        for target in {replacement.replaced_by for replacement in adaptation.replacements}:
            own = song.program[~song.is_drum]
            own = own[map_program_numbers(own, "slakh") == target]
            joined = [r.program for r in adaptation.replacements if r.replaced_by == target]
            if len({*own.tolist(), *joined}) < 2:
                continue
            part = notes.select(mapped == target)
            for pitch in set(part.pitch.tolist()):
                key = part.select(part.pitch == pitch)
                order = np.argsort(key.onset_seconds)
                onsets, offsets = key.onset_seconds[order], key.offset_seconds[order]
                assert np.all(np.diff(onsets) > 0)
                assert np.all(offsets[:-1] <= onsets[1:])


class TestRealSongs:
    def test_a_band(self):
        song = read_midi(EXAMPLES / "when_the_saints.mid")
        adaptation = adapt(song, Known())
        assert adaptation.replacements == (
            Replacement(32, BASS, 63),
            Replacement(56, FLUTE, 67),
            Replacement(57, STRINGS, 61),
            Replacement(71, FLUTE, 171),
        )
        assert sum(drum.hits for drum in adaptation.left_out) == 417
        assert describe(adaptation, Known(), song="when_the_saints.mid", model="mini") == (
            "when_the_saints.mid: acoustic bass replaced by bass; trumpet and clarinet by flute; "
            "trombone by strings; drums left out "
            "(mini knows piano, guitar, bass, strings and flute)"
        )

    def test_an_orchestra(self):
        adaptation = adapt(read_midi(EXAMPLES / "pachelbel_canon.mid"), Known())
        replaced = {PROGRAM_NAMES[part]: by for part, by, _ in adaptation.replacements}
        assert replaced == {
            "violin": STRINGS,
            "cello": STRINGS,
            "harp": GUITAR,
            "oboe": FLUTE,
            "clarinet": FLUTE,
        }

    def test_a_song_with_known_instruments(self):
        song = read_midi(EXAMPLES / "greensleeves.mid")
        adaptation = adapt(song, Known())
        assert note_rows(adaptation.notes) == note_rows(song)
        assert adaptation.replacements == adaptation.left_out == ()
