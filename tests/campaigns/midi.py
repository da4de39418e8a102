"""Reading of damaged MIDI files: no errors but MidiError, no hang, no more than 1 GB."""

from pathlib import Path

import numpy as np

from spectrodiff.core.errors import MidiError
from spectrodiff.music.midi.reader import read_midi
from spectrodiff.music.notes import NOTE_COLUMNS, Notes
from tests.campaigns.harness import Campaign, Limits, smaller_bytes
from tests.campaigns.midi_mutants import mutant

WHOLE, DAMAGED, REFUSED = "whole", "damaged", "refused"


def attempt(data: bytes) -> str:
    """Reads a file; returns what it is.

    Raises:
        Exception: if anything is not as promised.
    """
    try:
        notes = read_midi(data)
    except MidiError as error:
        if "\n" in str(error):
            raise AssertionError("an error of several lines") from error
        return REFUSED
    check(notes)
    again = read_midi(data)
    for name in NOTE_COLUMNS:
        np.testing.assert_array_equal(getattr(notes, name), getattr(again, name))
    return DAMAGED if notes.damage else WHOLE


def check(notes: Notes) -> None:
    """Checks what holds for the notes of any file; the note table itself checks ranges.

    Raises:
        AssertionError: if it does not.
    """
    assert np.all(np.diff(notes.onset_seconds) >= 0), "not in order of onset"
    assert np.all(notes.offset_seconds > notes.onset_seconds), "a note of no length"
    lines = (*notes.remarks, notes.damage)
    assert all("\n" not in line and line.isprintable() for line in lines), "not one printable line"
    assert not notes.damage or notes.damage in notes.remarks, "damage without a remark"


def store(data: bytes, path: Path) -> None:
    """Writes a file."""
    path.with_suffix(".mid").write_bytes(data)


CAMPAIGN = Campaign(
    mutant,
    attempt,
    Limits(cpu_seconds=5, memory_bytes=1 << 30),
    smaller=smaller_bytes,
    store=store,
)
