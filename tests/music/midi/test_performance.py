"""State of channels: programs, drums, pedals, levels, and what is ignored."""

import numpy as np
import pytest

from spectrodiff.music.midi.reader import read_midi, read_midi_song
from tests.support.midi import (
    END,
    bend,
    chunk,
    control,
    exclusive,
    header,
    meta,
    midi_bytes,
    off,
    on,
    program,
)
from tests.support.notation import note_rows

GM_ON = (0x7E, 0x7F, 0x09, 0x01)
GS_RESET = (0x41, 0x10, 0x42, 0x12, 0x40, 0x00, 0x7F, 0x00, 0x41)
XG_ON = (0x43, 0x10, 0x4C, 0x00, 0x00, 0x7E, 0x00)


def rows(*tracks, **settings) -> list:
    return note_rows(read_midi(midi_bytes(*tracks, **settings)))


def times(*tracks) -> list[tuple[float, float]]:
    return [row[:2] for row in rows(*tracks)]


def note(delta: int, pitch: int = 60, channel: int = 0, length: int = 100) -> list:
    return [on(delta, pitch, channel=channel), off(length, pitch, channel=channel)]


def remarks(*messages) -> tuple[str, ...]:
    return read_midi(midi_bytes(messages)).remarks


class TestTempo:
    def test_is_that_of_all_tracks(self):
        # At 500 ticks per beat: 250 ticks at 120 beats per minute, then 60, then 240.
        tempos = [meta("set_tempo", 250, tempo=1_000_000), meta("set_tempo", 500, tempo=250_000)]
        assert times(note(0, length=1000), [], tempos) == [(0.0, 0.25 + 1.0 + 0.125)]

    def test_last_of_several_at_a_tick_holds(self):
        tempos = [meta("set_tempo", tempo=2_000_000), meta("set_tempo", tempo=1_000_000)]
        song = read_midi_song(midi_bytes(tempos, note(500)))
        assert note_rows(song.notes)[0][0] == 1.0
        assert song.tempos == [(0.0, 60.0)]

    @pytest.mark.parametrize(
        ("event", "onset"),
        [
            (b"\x03\0\0\0", 0.5),  # zero, and too short: the default
            (b"\x02\x10\x10", 0.5),
            (b"\x04\x0f\x42\x40\x99", 1.0),  # too long: the first three bytes
        ],
    )
    def test_of_unusual_lengths_and_zero(self, event, onset):
        track = bytes([0, 0xFF, 0x51]) + event + bytes([0x83, 0x74, 0x90, 60, 64, 100, 60, 0])
        assert note_rows(read_midi(header() + chunk(b"MTrk", track + END)))[0][0] == onset


class TestPrograms:
    def test_belong_to_a_channel_whatever_the_track(self):
        song = rows(note(100, channel=2), [program(0, 40, channel=2)], note(200, channel=3))
        assert [row[4] for row in song] == [40, 0]

    def test_a_later_track_sets_the_program_of_the_same_tick(self):
        assert [row[4] for row in rows(note(0), [program(0, 40)])] == [40]

    def test_a_note_keeps_the_program_with_which_it_began(self):
        song = rows([on(0, 60), program(50, 73), off(50, 60), *note(0, 62)])
        assert [row[4] for row in song] == [0, 73]

    def test_tracks_that_share_a_channel_have_their_own_at_one_tick(self):
        song = rows([program(0, 3), *note(0, 60)], [program(0, 8), *note(0, 64)])
        assert {row[2]: row[4] for row in song} == {60: 3, 64: 8}
        # Of one track, too: in the order of the file.
        song = rows([on(0, 60), program(0, 8), on(0, 64), off(50, 60), off(0, 64)])
        assert {row[2]: row[4] for row in song} == {60: 0, 64: 8}
        # Notes of other channels do not matter.
        song = rows([on(0, 60), off(50, 60)], [on(0, 62, channel=1), program(0, 8), off(50, 62, 1)])
        assert {row[2]: row[4] for row in song} == {60: 8, 62: 0}

    def test_tracks_that_share_a_channel_have_their_own_banks(self):
        drums = [control(0, 0, 127), program(0, 0), *note(0, 36)]
        song = rows(drums, [control(0, 0, 0), program(0, 8), *note(0, 64)])
        assert {row[2]: (row[4], row[5]) for row in song} == {36: (0, True), 64: (8, False)}
        # A bank without a program behind it changes nothing.
        song = rows([program(0, 3), control(0, 0, 127), *note(0)])
        assert [row[4:] for row in song] == [(3, False)]

    def test_ports_have_channels_of_their_own(self):
        second = [meta("midi_port", port=1), program(0, 40), *note(0, 64)]
        song = rows([program(0, 73), *note(0, 60)], second)
        assert {row[2]: row[4] for row in song} == {60: 73, 64: 40}

    def test_the_first_port_holds_from_the_beginning_of_its_track(self):
        one = [program(0, 40), meta("midi_port", port=1), *note(0, 60)]
        two = [program(0, 73), meta("midi_port", port=0), *note(0, 62)]
        later = [meta("midi_port", port=2), program(0, 8), meta("midi_port", port=3), *note(0, 64)]
        assert {row[2]: row[4] for row in rows(one, two, later)} == {60: 40, 62: 73, 64: 0}

    def test_other_banks_are_remarked(self):
        assert remarks(control(0, 0, 8), program(0, 24), *note(0), *note(0)) == (
            "variations of instruments of 2 notes ignored",
        )


class TestDrums:
    @pytest.mark.parametrize("port", [0, 3])
    def test_channel_10_of_each_port(self, port):
        track = [meta("midi_port", port=port), *note(0, channel=9), *note(0, channel=8)]
        assert [row[5] for row in rows(track)] == [True, False]

    @pytest.mark.parametrize("bank", [120, 126, 127])
    def test_drum_banks_on_any_channel(self, bank):
        track = [control(0, 0, bank, 4), *note(0, channel=4)]  # without a program: not yet
        track += [program(0, 0, 4), *note(0, channel=4)]
        track += [control(0, 0, 0, 4), program(0, 0, 4), *note(0, channel=4)]
        assert [row[5] for row in rows(track)] == [False, True, False]

    def test_drum_banks_are_melodic_in_roland_gs(self):
        track = [exclusive(0, *GS_RESET), control(0, 0, 127, 4), program(0, 48, 4)]
        assert [row[4:] for row in rows([*track, *note(0, channel=4)])] == [(48, False)]

    def test_melodic_banks_on_channel_10(self):
        plain = [control(0, 0, 0, 9), program(0, 40, 9), *note(0, channel=9)]
        assert [row[5] for row in rows(plain)] == [True]
        assert [row[5] for row in rows([exclusive(0, *XG_ON), *plain])] == [False]
        assert [row[5] for row in rows([control(0, 0, 121, 9), *plain[1:]])] == [False]

    @pytest.mark.parametrize(("part", "channel"), [(0x10, 9), (0x11, 0), (0x19, 8), (0x1A, 10)])
    def test_roland_rhythm_parts(self, part, channel):
        def use(value: int):
            return exclusive(0, 0x41, 0x10, 0x42, 0x12, 0x40, part, 0x15, value, 0x11)

        track = [use(1), *note(0, channel=channel), use(0), *note(0, channel=channel)]
        assert [row[5] for row in rows(track)] == [True, False]

    def test_yamaha_part_modes(self):
        use = exclusive(0, 0x43, 0x10, 0x4C, 0x08, 0x05, 0x07, 0x02)
        assert [row[5] for row in rows([use, *note(0, channel=5), *note(0)])] == [True, False]

    def test_need_no_end(self):
        song = rows([on(0, 36, channel=9), on(500, 38, channel=9), off(0, 38, channel=9)])
        assert [row[:2] for row in song] == [(0.0, 0.01), (0.5, 0.51)]
        song = read_midi(midi_bytes([on(0, 36, channel=9)]))
        assert (song.total_seconds, song.remarks) == (0.01, ())


class TestEnds:
    def test_velocity_0_ends_a_note(self):
        assert times([on(0, 60), on(100, 60, velocity=0)]) == [(0.0, 0.1)]

    def test_one_end_for_all_notes_of_a_key(self):
        song = times([on(0, 60), on(100, 60), off(100, 60), off(100, 60)])
        assert song == [(0.0, 0.2), (0.1, 0.2)]

    def test_channels_end_their_own_notes(self):
        assert times([on(0, 60), on(0, 60, channel=1), off(100, 60, 1), off(100, 60)]) == [
            (0.0, 0.2),
            (0.0, 0.1),
        ]

    def test_tracks_of_a_channel_share_its_keys(self):
        assert times([on(0, 60)], [off(300, 60)]) == [(0.0, 0.3)]

    def test_a_note_that_begins_as_another_of_its_key_ends(self):
        # Also if the end comes second.
        for order in ([off(100, 60), on(0, 60)], [on(100, 60), off(0, 60)]):
            assert times([on(0, 60), *order, off(100, 60)]) == [(0.0, 0.1), (0.1, 0.2)]

    def test_notes_of_no_length(self):
        song = read_midi(midi_bytes([on(100, 60), off(0, 60), *note(100)]))
        assert note_rows(song)[0][:2] == (0.1, 0.11)
        assert song.remarks == ("1 note of no length",)

    def test_notes_never_ended_last_to_the_last_note(self):
        track = [on(0, 48), *note(100), meta("text", 5000, text="end"), control(50, 7, 3)]
        song = read_midi(midi_bytes(track))
        assert [row[:2] for row in note_rows(song)] == [(0.0, 0.2), (0.1, 0.2)]
        assert song.remarks == ("1 note without an end",)

    @pytest.mark.parametrize("number", [120, 123, 124, 125, 126, 127])
    def test_all_notes_off(self, number):
        track = [on(0, 60), on(0, 61, channel=1), control(100, number, 0), off(100, 61, 1)]
        assert times(track) == [(0.0, 0.1), (0.0, 0.2)]

    @pytest.mark.parametrize("message", [GM_ON, GS_RESET, XG_ON])
    def test_resets_end_notes_and_restore_programs(self, message):
        track = [control(0, 64, 127), program(0, 40), on(0, 60), exclusive(100, *message)]
        song = rows([*track, *note(100)])
        assert [(*row[:2], row[4]) for row in song] == [(0.0, 0.1, 40), (0.2, 0.3, 0)]


class TestPedals:
    def test_sustain(self):
        pedal = [control(0, 64, 64), control(1000, 64, 63)]
        assert times(note(0), pedal) == [(0.0, 1.0)]
        assert times(note(0), [control(0, 64, 63), control(1000, 64, 0)]) == [(0.0, 0.1)]

    def test_holds_notes_that_end_as_it_goes_down(self):
        # At one tick, controllers come before notes, whatever their order in the file.
        track = [on(0, 60), off(100, 60), control(0, 64, 127), control(100, 64, 0)]
        assert times(track) == [(0.0, 0.2)]

    def test_up_and_down_at_once_lets_go(self):
        track = [control(0, 64, 127), *note(0), control(400, 64, 0), control(0, 64, 127)]
        assert times([*track, *note(100, 62), control(100, 64, 0)]) == [(0.0, 0.5), (0.6, 0.8)]

    def test_a_key_struck_again_ends_its_sustained_note(self):
        track = [control(0, 64, 127), *note(0), on(100, 60), control(100, 64, 0), off(100, 60)]
        assert times(track) == [(0.0, 0.2), (0.2, 0.4)]

    def test_a_key_struck_again_as_it_is_let_go(self):
        # Whether its end comes before or behind, the second note lasts to its own end.
        for order in ([off(100, 60), on(0, 60)], [on(100, 60), off(0, 60)]):
            track = [control(0, 64, 127), on(0, 60), *order, control(50, 64, 0), off(50, 60)]
            assert times(track) == [(0.0, 0.1), (0.1, 0.2)]

    def test_holds_only_its_channel(self):
        assert times([control(0, 64, 127, 1), *note(0), control(400, 64, 0, 1)]) == [(0.0, 0.1)]

    def test_never_released(self):
        song = read_midi(midi_bytes([control(0, 64, 127), *note(0), *note(400, channel=9)]))
        assert [row[1] for row in note_rows(song)] == [0.6, 0.6]
        assert song.remarks == ()

    def test_sostenuto_holds_the_keys_that_are_down(self):
        track = [on(0, 60), control(50, 66, 127), *note(0, 62), off(0, 60), control(350, 66, 0)]
        assert times(track) == [(0.0, 0.5), (0.05, 0.15)]

    def test_a_key_struck_again_ends_its_caught_note(self):
        track = [on(0, 60), control(50, 66, 127), off(50, 60), *note(100), control(200, 66, 0)]
        assert times(track) == [(0.0, 0.2), (0.2, 0.3)]

    def test_sostenuto_hands_over_to_the_sustain_pedal(self):
        track = [on(0, 60), control(50, 66, 127), control(0, 64, 127), off(50, 60)]
        track += [control(100, 66, 0), control(100, 64, 0)]
        assert times(track) == [(0.0, 0.3)]

    def test_all_notes_off_leaves_them_to_the_pedal_and_sound_off_does_not(self):
        for number, end in ((123, 0.5), (120, 0.2)):
            track = [control(0, 64, 127), on(0, 60), control(200, number, 0), control(300, 64, 0)]
            assert times([*track, *note(0, 62)])[0] == (0.0, end)

    def test_reset_of_controllers_lifts_pedals(self):
        track = [control(0, 64, 127), *note(0), control(200, 121, 0), *note(200)]
        assert times(track) == [(0.0, 0.3), (0.5, 0.6)]


class TestLevels:
    def velocities(self, *messages) -> list[int]:
        return read_midi(midi_bytes(messages)).velocity.tolist()

    def test_volume_and_expression_scale_velocity(self):
        # Their defaults are 100 and 127.
        track = [control(0, 7, 50), *note(0), control(0, 11, 64), *note(0), control(0, 7, 127)]
        expected = [100 * 0.5, 100 * 0.5 * 64 / 127, 100 * 1.27 * 64 / 127]
        assert self.velocities(*track, *note(0)) == np.rint(expected).tolist()

    def test_velocities_stay_in_range(self):
        track = [control(0, 7, 127), *note(0), control(0, 7, 1), on(0, 60, 3), off(50, 60)]
        assert self.velocities(*track) == [127, 1]

    def test_the_loudest_moment_counts(self):
        swell = [control(10, 11, value) for value in (20, 90, 127, 30)]
        track = [control(0, 11, 0), on(0, 60), *swell, off(10, 60), control(0, 11, 60), *note(0)]
        assert self.velocities(*track) == [100, round(100 * 60 / 127)]

    def test_a_change_as_a_note_ends_is_that_of_the_next(self):
        assert self.velocities(control(0, 7, 50), *note(0), control(0, 7, 100), *note(0)) == [
            50,
            100,
        ]

    def test_against_a_plain_maximum(self):
        rng = np.random.default_rng(5)
        track, values, level = [], [], 1.0
        spans: list[list] = []
        for _ in range(300):
            if rng.random() < 0.6:
                value = int(rng.integers(128))
                track.append(control(1, 11, value))
                level = value / 127
            elif spans and spans[-1][1] is None:
                track.append(off(1, 60))
                spans[-1][1] = len(values)
            else:
                track.append(on(1, 60, 100))
                spans.append([len(values), None])
            values.append(level)
        expected = [max(values[first:last]) for first, last in spans]
        assert len(spans) > 30
        assert (
            self.velocities(*track) == np.clip(np.rint(100 * np.array(expected)), 1, 127).tolist()
        )

    def test_silent_notes_are_kept_and_remarked(self):
        song = read_midi(midi_bytes([control(0, 7, 0), *note(0), control(0, 7, 100), *note(0)]))
        assert song.velocity.tolist() == [1, 100]
        assert song.remarks == ("1 note with volume 0, read as velocity 1",)


class TestIgnored:
    def test_bends_of_sounding_notes(self):
        track = [bend(0, 4096), *note(0), bend(0, 0), *note(0)]
        assert remarks(*track) == ("pitch bends (up to 1 semitone) of 1 note ignored",)
        assert remarks(bend(0, 4096), bend(0, 0), *note(0)) == ()
        assert remarks(*note(0), bend(0, 4096), *note(10), bend(0, 0), *note(0)) == (
            "pitch bends (up to 1 semitone) of 1 note ignored",
        )
        within = [on(0, 60), bend(10, -8192), bend(10, 0), off(10, 60)]
        assert remarks(*within) == ("pitch bends (up to 2 semitones) of 1 note ignored",)

    def test_bends_between_notes_are_not_heard(self):
        track = [*note(0), bend(10, -8192), bend(10, 4096), *note(0), bend(10, 8191)]
        assert remarks(*track) == ("pitch bends (up to 1 semitone) of 1 note ignored",)

    def test_bend_range(self):
        wide = [control(0, 101, 0), control(0, 100, 0), control(0, 6, 12)]
        assert remarks(*wide, bend(0, -8192), *note(0)) == (
            "pitch bends (up to 12 semitones) of 1 note ignored",
        )

    @pytest.mark.parametrize(
        ("message", "effect"),
        [
            (control(0, 1, 1), "modulation"),
            (control(0, 2, 90), "breath control"),
            (control(0, 65, 127), "portamento"),
            (control(0, 67, 127), "soft pedal"),
            (control(0, 74, 0), "filter and envelope controllers"),
            (bend(0, 1), "pitch bends (up to 0.00024 semitones)"),
        ],
    )
    def test_other_effects(self, message, effect):
        assert remarks(message, *note(0), *note(0)) == (f"{effect} of 2 notes ignored",)
        other = message.copy(channel=1)
        assert remarks(other, *note(0)) == ()

    def test_tuning(self):
        coarse = [control(0, 101, 0), control(0, 100, 2), control(0, 6, 65)]
        assert remarks(*coarse, *note(0)) == ("tuning of 1 note ignored",)
        assert remarks(*coarse[:2], control(0, 99, 1), coarse[2], *note(0)) == ()

    def test_master_volume(self):
        down = exclusive(0, 0x7F, 0x7F, 0x04, 0x01, 0x00, 0x40)
        full = exclusive(0, 0x7F, 0x7F, 0x04, 0x01, 0x00, 0x7F)
        assert remarks(down, *note(0)) == ("changes of the master volume ignored",)
        assert remarks(full, *note(0)) == ()

    def test_what_does_not_change_a_mono_sound_much_is_not_told(self):
        assert remarks(control(0, 10, 0), control(0, 91, 100), control(0, 93, 3), *note(0)) == ()
