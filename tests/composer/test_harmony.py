import numpy as np

from spectrodiff.composer.harmony import FOUR_FOUR, MAJOR, Chord, Key, random_passage, voicing
from spectrodiff.composer.seeded_random import SeededRandom

C_MAJOR = Key(0, MAJOR)
C, G = (0, 4, 7), (7, 11, 2)


def test_key_converts_between_degrees_and_pitches():
    d_minor = Key(2, (0, 2, 3, 5, 7, 8, 10))
    # D E F G A Bb C and the next D.
    assert [d_minor.pitch(35 + degree) for degree in range(8)] == [62, 64, 65, 67, 69, 70, 72, 74]
    assert [d_minor.degree(pitch) - 35 for pitch in (62, 63, 64, 71, 72, 73, 74)] == [
        0, 0, 1, 5, 6, 6, 7,
    ]  # fmt: skip
    assert d_minor.degree(61) - 35 == -1


def test_chord_finds_its_tones():
    chord = Chord(0.0, 4.0, G)
    assert chord.tones(59, 67) == [59, 62, 67]
    assert [chord.nearest(pitch) for pitch in (60, 61, 65, 64, 69)] == [59, 62, 67, 62, 67]


def test_voicing_takes_neighboring_tones_around_the_center():
    chord = Chord(0.0, 4.0, C)
    # The windows of three around middle C: G C E has the mean 59, C E G has 63.67, E G C 66.33.
    assert voicing(chord, 48, 84, 3, center=59.5) == [55, 60, 64]
    assert voicing(chord, 48, 84, 3, center=66) == [64, 67, 72]
    assert voicing(chord, 60, 84, 3, center=40) == [60, 64, 67]


def test_progressions_of_one_key_are_diatonic_thirds():
    # Except for raised and altered thirds, chords are thirds stacked on the scale.
    scale = {pitch % 12 for pitch in MAJOR}
    rng = SeededRandom(0)
    chords = [
        chord for _ in range(60) for chord in random_passage(rng, C_MAJOR, FOUR_FOUR, 4, 0.5).chords
    ]
    diatonic = [set(chord.classes) <= scale for chord in chords]
    assert np.mean(diatonic) > 0.9
    assert {chord.classes[:3] for chord in chords} >= {(0, 4, 7), (5, 9, 0), (7, 11, 2), (9, 0, 4)}
