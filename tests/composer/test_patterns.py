import numpy as np
import pytest

from spectrodiff.composer.harmony import FOUR_FOUR, MAJOR, METERS, Chord, Key, Meter, Passage
from spectrodiff.composer.patterns import PartLimits, rhythm, write_part
from spectrodiff.composer.seeded_random import SeededRandom
from spectrodiff.music.instruments import Role

C_MAJOR = Key(0, MAJOR)
C, G = (0, 4, 7), (7, 11, 2)


@pytest.mark.parametrize("meter", METERS)
@pytest.mark.parametrize(
    ("density", "least", "most"), [(0.0, 0.2, 0.7), (0.5, 0.8, 1.8), (1.0, 2.0, 3.0)]
)
def test_rhythm_fills_a_bar_without_overlaps(
    meter: Meter, density: float, least: float, most: float
):
    rng = SeededRandom(1)
    counts = []
    for _ in range(50):
        cells = rhythm(rng, meter, density)
        starts, lengths = np.array(cells).T
        assert starts[0] >= 0
        assert np.all(starts[1:] - (starts + lengths)[:-1] > -1e-9)
        assert starts[-1] + lengths[-1] <= meter.bar_beats + 1e-9
        counts.append(len(cells))
    assert least < np.mean(counts) / meter.bar_beats < most


PASSAGE = Passage(C_MAJOR, FOUR_FOUR, 2, (Chord(0.0, 4.0, C), Chord(4.0, 4.0, G)), 0.5)
KEYBOARD = PartLimits(36, 84, 8, rings=True)


@pytest.mark.parametrize("role", ["chords", "arpeggio", "pad"])
def test_accompaniment_consists_of_chord_tones(role: Role):
    for seed in range(20):
        for event in write_part(SeededRandom(seed), role, PASSAGE, KEYBOARD):
            # A tied tone belongs to the chord in which it starts.
            chord = C if event.start < 4 - 1e-6 else G
            assert event.pitch % 12 in chord
            assert event.start + event.length <= 8 + 1e-6


def test_bass_has_the_root_when_the_chord_changes():
    roots = []
    for seed in range(40):
        events = write_part(SeededRandom(seed), "bass", PASSAGE, PartLimits(28, 55, 1, rings=True))
        for beat, root in ((0.0, 0), (4.0, 7)):
            roots += [event.pitch % 12 == root for event in events if event.start == beat]
    assert len(roots) > 40
    assert all(roots)


def test_melody_moves_by_step_and_lands_on_chord_tones():
    leaps, landed = [], []
    for seed in range(40):
        events = write_part(
            SeededRandom(seed), "melody", PASSAGE, PartLimits(60, 84, 1, rings=False)
        )
        leaps += np.abs(np.diff([event.pitch for event in events])).tolist()
        landed += [
            event.pitch % 12 in (C if event.start < 4 else G)
            for event in events
            if event.start % 1 == 0
        ]
    assert np.median(leaps) <= 4
    assert all(landed)


def test_pads_tie_tones_that_chords_share():
    # C and G share the note G; tied, it lasts for both chords.
    held = [
        event
        for seed in range(20)
        for event in write_part(SeededRandom(seed), "pad", PASSAGE, KEYBOARD)
        if event.pitch % 12 == 7 and event.length == 8
    ]
    assert held
