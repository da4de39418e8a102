"""A short campaign of damaged MIDI files."""

from tests.campaigns import harness, midi
from tests.campaigns.midi_mutants import mutant

FILES = 4000


def test_damaged_files_are_read_or_refused():
    outcome = harness.run(midi.__name__, range(FILES))
    assert not outcome.faults
    assert outcome.counts.total() == FILES
    assert all(outcome.counts[kind] > FILES / 10 for kind in (midi.WHOLE, midi.DAMAGED))


def test_seeds_make_different_files_again():
    assert mutant(7) == mutant(7)
    assert len({mutant(seed) for seed in range(100)}) > 90
