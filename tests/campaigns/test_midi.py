"""A short campaign of damaged MIDI files (midi.py is for long ones), and what campaigns notice."""

import sys

from tests.campaigns import midi
from tests.campaigns.midi_mutants import mutant

FILES = 4000

# Reads with a function that fails in its own way for each seed, instead of `read_midi`.
FAILING = """
import sys
from spectrodiff.core.errors import MidiError
from spectrodiff.music.midi.reader import read_midi
from tests.campaigns import midi

def read(seed):
    if seed == 1:
        while True:
            pass
    if seed == 2:
        return bytes(5 * midi.MEMORY_BYTES // 4)
    if seed == 3:
        raise KeyError("a key")
    if seed == 4:
        raise SystemExit(3)
    if seed == 5:
        raise MidiError("MIDI", "a file", "a number")
    return read_midi(b"MThd\\0\\0\\0\\6\\0\\0\\0\\1\\1\\xf4MTrk\\0\\0\\0\\4\\0\\xff\\x2f\\0")

midi.CPU_SECONDS, midi.mutant, midi.read_midi = 0.1, int, read
midi.serve(range(*map(int, sys.argv[1:])))
"""


def test_damaged_files_are_read_or_refused():
    outcome = midi.Outcome()
    midi.run(range(FILES), outcome)
    assert not outcome.failures
    assert outcome.counts.total() == FILES
    assert all(outcome.counts[kind] > FILES / 10 for kind in (midi.WHOLE, midi.DAMAGED))


def test_seeds_make_different_files_again():
    assert mutant(7) == mutant(7)
    assert len({mutant(seed) for seed in range(100)}) > 90


def test_failures_are_noticed():
    outcome = midi.Outcome()
    midi.run(range(7), outcome, [sys.executable, "-c", FAILING])
    last = {seed: text.strip().splitlines()[-1] for seed, text in outcome.failures.items()}
    assert last == {
        1: "more than 5 s",
        2: "MemoryError",
        3: "KeyError: 'a key'",
        4: "ended by 3",
    }
    assert outcome.counts == {midi.WHOLE: 2, midi.REFUSED: 1, midi.FAILED: 4}
