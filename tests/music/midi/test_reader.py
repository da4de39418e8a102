"""The reader against others."""

import contextlib
import os
import subprocess
import sys
import threading
import warnings

import note_seq
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrodiff.core.errors import MidiError
from spectrodiff.music.midi.reader import read_midi
from spectrodiff.music.notes import Notes
from tests.support.notation import note_rows

NAMES = ["extremes", "held_chords", "overlaps", "piano_pedal", "band_drums", "dense"]


@pytest.mark.parametrize("name", NAMES)
def test_note_seq_agrees_to_the_bit(golden, name):
    """Training data of the released models were read with it."""
    path = golden / "midi" / f"{name}.mid"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = Notes.from_note_sequence(note_seq.midi_file_to_note_sequence(str(path)))
    notes = read_midi(path)
    assert sorted(note_rows(notes)) == sorted(note_rows(expected))
    assert notes.total_seconds == expected.total_seconds
    assert notes.remarks == ()


def test_paths_and_contents_are_read_the_same(golden):
    path = golden / "midi" / "band_drums.mid"
    expected = note_rows(read_midi(path))
    assert note_rows(read_midi(str(path))) == expected
    for kind in (bytes, bytearray, memoryview):
        assert note_rows(read_midi(kind(path.read_bytes()))) == expected


def test_what_a_program_writes_to_a_pipe_is_read(golden):
    """The file of `spectrodiff inspect <(program)` in a shell."""
    path = golden / "midi" / "band_drums.mid"
    reader, writer = os.pipe()

    def write():
        with open(writer, "wb", buffering=0) as pipe:
            data = path.read_bytes()
            pipe.write(data[:1000])
            pipe.write(data[1000:])

    thread = threading.Thread(target=write)
    thread.start()
    notes = read_midi(f"/dev/fd/{reader}")
    thread.join()
    os.close(reader)
    assert note_rows(notes) == note_rows(read_midi(path))


def test_a_pipe_without_a_program_is_empty(tmp_path):
    os.mkfifo(tmp_path / "a.mid")
    with pytest.raises(MidiError, match=r"a\.mid: expected a MIDI file, got only 0 bytes"):
        read_midi(tmp_path / "a.mid")


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/urandom"])
def test_devices_are_refused(name):
    expected = f"{name}: expected a readable MIDI file, got a device, no file"
    with pytest.raises(MidiError, match=expected):
        read_midi(name)


def test_notes_are_in_order_of_onset(golden):
    onsets = read_midi(golden / "midi" / "band_drums.mid").onset_seconds
    assert np.all(np.diff(onsets) >= 0)


def test_reading_needs_no_midi_library(golden):
    code = (
        "import sys; from spectrodiff import read_midi\n"
        f"read_midi({str(golden / 'midi' / 'dense.mid')!r})\n"
        "print({'note_seq', 'pretty_midi', 'mido'} & {*sys.modules})"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert output.stdout == b"set()\n"


@settings(derandomize=True, deadline=None, max_examples=300)
@given(data=st.data())
def test_damaged_files_are_either_read_or_refused(golden, data):
    midi = bytearray(
        (golden / "midi" / f"{data.draw(st.sampled_from(NAMES[:4]))}.mid").read_bytes()
    )
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
        notes = read_midi(bytes(midi))
        assert np.all(notes.offset_seconds <= notes.total_seconds)
