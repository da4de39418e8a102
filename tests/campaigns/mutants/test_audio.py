"""A short campaign of damaged audio files."""

import random

from tests.campaigns import audio, harness
from tests.campaigns.mutants.audio import KINDS, base, mutant

FILES = 500


def test_damaged_files_are_read_or_refused():
    outcome = harness.run(audio.__name__, range(FILES))
    assert not outcome.faults
    assert outcome.counts.total() == FILES
    assert all(outcome.counts[kind] > FILES / 10 for kind in (audio.READ, audio.REFUSED))


def test_seeds_make_different_files_again():
    for kind in KINDS:
        assert base(random.Random(1), *kind) == base(random.Random(1), *kind)
    assert mutant(7) == mutant(7)
    assert len({mutant(seed) for seed in range(100)}) > 90
