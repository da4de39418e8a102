import contextlib
import io
import math
import os
import struct
import subprocess
import sys
import warnings

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrodiff.core.errors import MidiError, OutputError
from spectrodiff.music.notes import (
    MAX_FILE_BYTES,
    Notes,
    map_programs,
    parse_midi,
    read_midi,
    trim_overlaps,
    write_midi,
)
from tests.support.notation import note_rows, note_table

PIANO = (0, 1, 60, 100, 0, False)


def midi_bytes(*tracks: list[mido.Message], ticks_per_beat: int = 500) -> bytes:
    """Returns the contents of a MIDI file; by default a tick is a millisecond."""
    file = mido.MidiFile(ticks_per_beat=ticks_per_beat)
    file.tracks.extend(mido.MidiTrack(track) for track in tracks)
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def note_on(delta: int, note: int, velocity: int = 100, channel: int = 0) -> mido.Message:
    return mido.Message("note_on", time=delta, note=note, velocity=velocity, channel=channel)


def pedal(delta: int, value: int) -> mido.Message:
    return mido.Message("control_change", time=delta, control=64, value=value)


class TestTable:
    def test_columns_have_their_types(self):
        notes = note_table([PIANO])
        assert [notes.onset_seconds.dtype, notes.offset_seconds.dtype] == [np.float64] * 2
        assert [notes.pitch.dtype, notes.velocity.dtype, notes.program.dtype] == [np.int32] * 3
        assert notes.is_drum.dtype == np.bool_
        assert len(notes) == 1

    def test_song_is_at_least_as_long_as_its_last_note(self):
        assert note_table([PIANO], total_seconds=0.5).total_seconds == 1.0
        assert note_table([PIANO], total_seconds=2.5).total_seconds == 2.5
        assert note_table([]).total_seconds == 0.0

    def test_table_does_not_share_memory_with_its_source(self):
        pitch = np.array([60], np.int32)
        notes = Notes([0.0], [1.0], pitch, [100], [0], [False])
        pitch[0] = 61
        assert notes.pitch[0] == 60

    @pytest.mark.parametrize(
        ("row", "expected", "got"),
        [
            ((0, 1, 128, 100, 0, False), "pitch in 0..127", "128"),
            ((0, 1, -1, 100, 0, False), "pitch in 0..127", "-1"),
            ((0, 1, 60, 0, 0, False), "velocity in 1..127", "0"),
            ((0, 1, 60, 128, 0, False), "velocity in 1..127", "128"),
            ((0, 1, 60, 100, 128, False), "program in 0..127", "128"),
            ((-0.5, 1, 60, 100, 0, False), "onset_seconds in 0..86400", "-0.5"),
            ((math.nan, 1, 60, 100, 0, False), "onset_seconds in 0..86400", "nan"),
            ((0, math.inf, 60, 100, 0, False), "offset_seconds in 0..86400", "inf"),
            ((2, 1, 60, 100, 0, False), "offset_seconds not before onset_seconds 2", "1"),
        ],
    )
    def test_values_out_of_range_are_refused(self, row, expected, got):
        with pytest.raises(MidiError) as error:
            note_table([PIANO, row])
        assert (error.value.expected, error.value.got) == (expected, got)

    def test_columns_of_different_length_are_refused(self):
        with pytest.raises(MidiError, match="1 values of pitch"):
            Notes([0.0], [1.0], [60, 61], [100], [0], [False])

    def test_select(self):
        notes = note_table([PIANO, (1, 2, 62, 100, 0, False)], total_seconds=9.0)
        assert note_rows(notes.select(notes.pitch == 60)) == [PIANO]
        assert notes.select(notes.pitch == 60).total_seconds == 9.0


def test_drums_keep_their_program_when_programs_are_mapped():
    notes = note_table([(0, 1, 60, 100, 41, False), (0, 1, 36, 100, 41, True)])
    assert map_programs(notes, "midi_class").program.tolist() == [40, 41]


def test_trim_overlaps():
    notes = note_table(
        [
            (0.0, 2.0, 60, 100, 0, False),  # cut at 1.0 by the next
            (1.0, 1.5, 60, 100, 0, False),  # ends by itself before the next
            (1.6, 1.6, 60, 100, 0, False),  # no duration: removed
            (0.0, 2.0, 61, 100, 0, False),  # another pitch
            (1.0, 2.0, 61, 100, 1, False),  # another program
            (1.0, 2.0, 61, 100, 0, True),  # a drum
            (3.0, 4.0, 62, 100, 0, False),  # same onset as the next: removed
            (3.0, 3.5, 62, 90, 0, False),
        ]
    )
    assert note_rows(trim_overlaps(notes)) == [
        (0.0, 1.0, 60, 100, 0, False),
        (1.0, 1.5, 60, 100, 0, False),
        (0.0, 2.0, 61, 100, 0, False),
        (1.0, 2.0, 61, 100, 1, False),
        (1.0, 2.0, 61, 100, 0, True),
        (3.0, 3.5, 62, 90, 0, False),
    ]


class TestReading:
    def test_notes_of_two_instruments(self):
        data = midi_bytes(
            [
                mido.Message("program_change", program=40),
                note_on(500, 60, velocity=70),
                note_on(250, 60, velocity=0),
            ],
            [note_on(0, 36, channel=9), note_on(100, 36, velocity=0, channel=9)],
        )
        assert note_rows(parse_midi(data, "song")) == [
            (0.5, 0.75, 60, 70, 40, False),
            (0.0, 0.1, 36, 100, 0, True),
        ]

    def test_sustain_pedal_holds_notes(self):
        data = midi_bytes(
            [
                pedal(0, 127),
                note_on(1000, 60),
                note_on(500, 60, velocity=0),  # held until the pedal is released at 3 s
                pedal(1500, 0),
                note_on(1000, 62),
                note_on(500, 62, velocity=0),
            ]
        )
        assert note_rows(parse_midi(data, "song")) == [
            (1.0, 3.0, 60, 100, 0, False),
            (4.0, 4.5, 62, 100, 0, False),
        ]

    def test_song_is_not_shorter_than_its_drums(self):
        # The pedal is never released: note-seq then puts the end of the song at its last pitched
        # event, here at 1.5 s, although the drums continue.
        data = midi_bytes(
            [pedal(0, 127), note_on(1000, 60), note_on(500, 60, velocity=0)],
            [note_on(5000, 36, channel=9), note_on(1000, 36, velocity=0, channel=9)],
        )
        assert parse_midi(data, "song").total_seconds == 6.0

    def test_heavy_libraries_are_imported_only_to_read_a_file(self):
        code = (
            "import sys, spectrodiff.music.tokenizer\n"
            "print({'note_seq', 'pretty_midi'} & {*sys.modules})"
        )
        output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert output.stdout == b"set()\n"

    def test_imports_leave_the_tick_limit_in_place_and_are_silent(self, golden, recwarn):
        import pretty_midi

        read_midi(golden / "midi" / "extremes.mid")
        assert pretty_midi.pretty_midi.MAX_TICK == 1e7
        assert not recwarn.list

    def test_warnings_of_the_parser_are_suppressed(self):
        tempo_on_second_track = midi_bytes([], [mido.MetaMessage("set_tempo", tempo=400_000)])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(parse_midi(tempo_on_second_track, "song")) == 0


GOOD_FILE = midi_bytes([note_on(0, 60), note_on(100, 60, velocity=0)])
HEADER = GOOD_FILE[:14]
# One note that ends after the longest possible delta time: 2**28 - 1 ticks.
DELTA_BOMB = (
    HEADER[:10] + struct.pack(">HH", 1, 480) + b"MTrk" + struct.pack(">I", 15)
    + bytes([0, 0x90, 60, 64, 0xFF, 0xFF, 0xFF, 0x7F, 0x90, 60, 0, 0, 0xFF, 0x2F, 0])
)  # fmt: skip
# Fewer ticks than the limit, but of 16.7 s each: five years.
SLOW_FILE = midi_bytes(
    [mido.MetaMessage("set_tempo", tempo=0xFFFFFF), note_on(0, 60), note_on(9_000_000, 60, 0)],
    ticks_per_beat=1,
)


class TestBadFiles:
    @pytest.mark.parametrize(
        ("data", "got"),
        [
            (b"", "only 0 bytes"),
            (HEADER[:9], "only 9 bytes"),
            (b"<!DOCTYPE html><html></html>", "starts with b'<!DO'"),
            (b"RIFF" + GOOD_FILE, "starts with b'RIFF'"),
            (np.random.default_rng(0).bytes(500), "starts with"),
            (HEADER, "ends too early"),
            (GOOD_FILE[:-1], "ends too early"),
            (GOOD_FILE[: len(GOOD_FILE) // 2 + 8], "ends too early"),
            (HEADER[:10] + struct.pack(">HH", 0, 480), "expected a MIDI file with tracks"),
            (HEADER[:12] + b"\0\0" + GOOD_FILE[14:], "ticks per beat, got none"),
            (HEADER[:12] + b"\xe7\x28" + GOOD_FILE[14:], "SMPTE"),
            (GOOD_FILE.replace(bytes([60, 100]), bytes([200, 100])), "cannot be parsed"),
            (DELTA_BOMB, "largest tick"),
            (SLOW_FILE, "1.50995e+08"),
            (GOOD_FILE + bytes(MAX_FILE_BYTES), "a longer file"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_contents(self, tmp_path, data, got):
        path = tmp_path / "song.mid"
        path.write_bytes(data)
        with pytest.raises(MidiError) as error:
            read_midi(path)
        message = str(error.value)
        assert message.startswith(f"{path}: expected ")
        assert got in message
        assert "\n" not in message

    def test_bomb_is_small(self):
        assert len(DELTA_BOMB) < 60

    def test_places_without_a_file(self, tmp_path):
        with pytest.raises(MidiError, match=r"missing\.mid: .*got No such file"):
            read_midi(tmp_path / "missing.mid")
        with pytest.raises(MidiError, match="directory"):
            read_midi(tmp_path)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_unreadable(self, tmp_path):
        path = tmp_path / "song.mid"
        path.write_bytes(GOOD_FILE)
        path.chmod(0)
        with pytest.raises(MidiError, match="Permission denied"):
            read_midi(path)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(data=st.data())
def test_damaged_files_are_either_read_or_refused(golden, data):
    names = ["extremes", "held_chords", "overlaps", "piano_pedal"]
    midi = bytearray((golden / "midi" / f"{data.draw(st.sampled_from(names))}.mid").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(midi) - 1))
        match data.draw(st.sampled_from(["replace", "insert", "delete", "truncate"])):
            case "replace":
                midi[position] = data.draw(st.integers(0, 255))
            case "insert":
                midi[position:position] = data.draw(st.binary(min_size=1, max_size=5))
            case "delete" if len(midi) > 1:
                del midi[position]
            case "truncate":
                del midi[position + 1 :]
    with contextlib.suppress(MidiError):
        notes = parse_midi(bytes(midi), "damaged.mid")
        assert np.all(notes.offset_seconds <= notes.total_seconds)


class TestWriting:
    def test_notes_survive(self, tmp_path):
        rows = [
            (0.0, 1.234, 60, 100, 0, False),
            (0.5, 0.75, 60, 1, 41, False),
            (0.75, 1.0, 60, 127, 41, False),
            (2.001, 2.011, 36, 64, 0, True),
        ]
        write_midi(note_table(rows), tmp_path / "song.mid")
        read = sorted(note_rows(read_midi(tmp_path / "song.mid")))
        np.testing.assert_allclose(read, sorted(rows), atol=1e-9)

    def test_more_programs_than_channels(self, tmp_path):
        rows = [(0.1 * p, 0.1 * p + 5, 60, 100, p, False) for p in range(128)]
        write_midi(note_table([*rows, (0, 1, 60, 100, 0, True)]), tmp_path / "song.mid")
        notes = read_midi(tmp_path / "song.mid")
        assert sorted(notes.program[~notes.is_drum].tolist()) == list(range(128))
        assert int(notes.is_drum.sum()) == 1
        np.testing.assert_allclose(
            notes.onset_seconds[~notes.is_drum], 0.1 * notes.program[~notes.is_drum], atol=1e-9
        )

    def test_notes_without_duration_end_after_a_millisecond(self, tmp_path):
        rows = [(1.0, 1.0, 60, 100, 0, False), (3.0, 4.0, 60, 100, 0, False)]
        write_midi(note_table(rows), tmp_path / "song.mid")
        read = note_rows(read_midi(tmp_path / "song.mid"))
        expected = [(1.0, 1.001, 60, 100, 0, False), (3.0, 4.0, 60, 100, 0, False)]
        np.testing.assert_allclose(read, expected, atol=1e-9)

    def test_song_without_notes(self, tmp_path):
        write_midi(note_table([]), tmp_path / "song.mid")
        assert len(read_midi(tmp_path / "song.mid")) == 0

    def test_song_too_long_for_the_clock(self, tmp_path):
        with pytest.raises(MidiError, match="at most 9999 s"):
            write_midi(note_table([(0, 10_000, 60, 100, 0, False)]), tmp_path / "song.mid")
        assert not list(tmp_path.iterdir())

    def test_unwritable_place(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match=r"song\.mid"):
            write_midi(note_table([PIANO]), tmp_path / "file" / "song.mid")
