import math
import subprocess
import sys

import note_seq
import numpy as np
import pytest

from spectrodiff.core.errors import MidiError
from spectrodiff.music.notes import NOTE_COLUMNS, Notes, map_programs, merge_notes, trim_overlaps
from tests.support.notation import note_rows, note_table

PIANO = (0, 1, 60, 100, 0, False)


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


def test_merged_tables_keep_remarks_and_damage():
    first = Notes.from_columns(
        columns_of(PIANO), total_seconds=3.0, remarks=("odd", "broken"), damage="broken"
    )
    second = Notes.from_columns(columns_of((1, 2, 62, 90, 40, False)), remarks=("odd",))
    merged = merge_notes([second, first])
    assert note_rows(merged) == [(1, 2, 62, 90, 40, False), PIANO]
    assert (merged.total_seconds, merged.remarks) == (3.0, ("odd", "broken"))
    assert merged.damage == "broken"


def columns_of(*rows: tuple) -> dict[str, np.ndarray]:
    return {
        name: np.array(column)
        for name, column in zip(NOTE_COLUMNS, zip(*rows, strict=True), strict=True)
    }


class TestNoteSequences:
    def test_there_and_back(self):
        rows = [PIANO, (0.5, 0.75, 36, 1, 0, True), (0.125, 2.0, 60, 127, 73, False)]
        notes = note_table(rows, total_seconds=4.0)
        sequence = notes.to_note_sequence()
        assert [note.instrument for note in sequence.notes] == [0, 2, 1]
        back = Notes.from_note_sequence(sequence)
        assert note_rows(back) == rows
        assert (back.total_seconds, back.remarks) == (4.0, ())

    def test_sustained_notes_are_extended(self):
        sequence = note_table([PIANO], total_seconds=5.0).to_note_sequence()
        for seconds, value in ((0.5, 127), (3.0, 0)):
            sequence.control_changes.add(time=seconds, control_number=64, control_value=value)
        sequence.pitch_bends.add(time=0.0, bend=100)
        notes = Notes.from_note_sequence(sequence)
        assert note_rows(notes) == [(0, 3.0, 60, 100, 0, False)]
        assert notes.remarks == ("pitch bends ignored",)
        sequence.pitch_bends[0].bend = 0
        assert Notes.from_note_sequence(sequence).remarks == ()

    def test_times_of_quantized_sequences(self):
        sequence = note_table([(0.13, 0.61, 60, 100, 0, False)]).to_note_sequence()
        sequence.tempos.add(qpm=120)
        quantized = note_seq.quantize_note_sequence(sequence, 4)
        quantized.control_changes.add(time=0.5, control_number=64, control_value=127)
        quantized.control_changes.add(time=0.9, control_number=64, control_value=0)
        assert note_rows(Notes.from_note_sequence(quantized)) == [(0.13, 0.9, 60, 100, 0, False)]
        assert quantized.HasField("quantization_info")

    def test_times_in_steps_are_refused(self):
        sequence = note_table([]).to_note_sequence()
        sequence.notes.add(pitch=60, velocity=100, quantized_end_step=4)
        with pytest.raises(MidiError, match="times in seconds"):
            Notes.from_note_sequence(sequence)

    def test_note_seq_is_imported_only_for_its_sequences(self):
        code = (
            "import sys, spectrodiff.music.tokenizer\n"
            "print({'note_seq', 'pretty_midi'} & {*sys.modules})"
        )
        output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert output.stdout == b"set()\n"
