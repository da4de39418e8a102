import itertools

import mido
import numpy as np
import pretty_midi
import pytest

from spectrodiff.core.errors import OutputError
from spectrodiff.music.midi.reader import read_midi
from spectrodiff.music.midi.writer import write_midi
from tests.support.notation import note_rows, note_table

PIANO = (0, 1, 60, 100, 0, False)
ROWS = [
    (0.0, 1.234, 60, 100, 0, False),
    (0.5, 0.75, 60, 1, 41, False),
    (0.75, 1.0, 60, 127, 41, False),
    (2.001, 2.011, 36, 64, 0, True),
]


def test_notes_survive(tmp_path):
    write_midi(note_table(ROWS), tmp_path / "song.mid")
    notes = read_midi(tmp_path / "song.mid")
    np.testing.assert_allclose(note_rows(notes), ROWS, atol=1e-9)
    assert notes.remarks == ()


def test_another_reader_agrees(tmp_path):
    write_midi(note_table(ROWS), tmp_path / "song.mid")
    song = pretty_midi.PrettyMIDI(str(tmp_path / "song.mid"))
    read = [
        (note.start, note.end, note.pitch, note.velocity, part.program, part.is_drum)
        for part in song.instruments
        for note in part.notes
    ]
    np.testing.assert_allclose(sorted(read), sorted(ROWS), atol=1e-9)


def test_more_programs_than_channels(tmp_path):
    rows = [(0.1 * p, 0.1 * p + 5, 60, 100, p, False) for p in range(128)]
    write_midi(note_table([*rows, (0, 1, 60, 100, 0, True)]), tmp_path / "song.mid")
    notes = read_midi(tmp_path / "song.mid")
    pitched = notes.select(~notes.is_drum)
    assert sorted(pitched.program.tolist()) == list(range(128))
    assert int(notes.is_drum.sum()) == 1
    np.testing.assert_allclose(pitched.onset_seconds, 0.1 * pitched.program, atol=1e-9)
    np.testing.assert_allclose(pitched.offset_seconds, pitched.onset_seconds + 5, atol=1e-9)


def test_fifteen_programs_need_one_port(tmp_path):
    rows = [(0.1, 0.2, 60, 100, p, False) for p in range(15)]
    write_midi(note_table(rows), tmp_path / "song.mid")
    messages = [*itertools.chain(*mido.MidiFile(tmp_path / "song.mid").tracks)]
    assert not [message for message in messages if message.type == "midi_port"]
    assert {message.channel for message in messages if not message.is_meta} == {*range(16)} - {9}


def test_notes_without_duration_end_after_a_millisecond(tmp_path):
    rows = [(1.0, 1.0, 60, 100, 0, False), (3.0, 4.0, 60, 100, 0, False)]
    write_midi(note_table(rows), tmp_path / "song.mid")
    expected = [(1.0, 1.001, 60, 100, 0, False), (3.0, 4.0, 60, 100, 0, False)]
    np.testing.assert_allclose(note_rows(read_midi(tmp_path / "song.mid")), expected, atol=1e-9)


def test_longest_song(tmp_path):
    rows = [(86_390.5, 86_400, 60, 100, 0, False)]
    write_midi(note_table(rows), tmp_path / "song.mid")
    np.testing.assert_allclose(note_rows(read_midi(tmp_path / "song.mid")), rows, atol=1e-9)


def test_song_without_notes(tmp_path):
    write_midi(note_table([]), tmp_path / "song.mid")
    assert len(read_midi(tmp_path / "song.mid")) == 0


def test_unwritable_place(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"song\.mid"):
        write_midi(note_table([PIANO]), tmp_path / "file" / "song.mid")
