import dataclasses
import functools
import hashlib
import pickle

import numpy as np
import pytest

from spectrodiff.composer.compose import FULL, NARROW, ComposeSettings, _Clock, compose
from spectrodiff.composer.drums import HIGHEST_DRUM, LOWEST_DRUM
from spectrodiff.composer.harmony import (
    FOUR_FOUR,
    MAJOR,
    METERS,
    Chord,
    Dice,
    Key,
    Meter,
    Passage,
    random_passage,
    voicing,
)
from spectrodiff.composer.patterns import Compass, play, rhythm
from spectrodiff.core.errors import ConfigError
from spectrodiff.music.instruments import Role, instrument
from spectrodiff.music.notes import Notes
from spectrodiff.music.programs import SLAKH_CLASSES

C_MAJOR = Key(0, MAJOR)
C, G = (0, 4, 7), (7, 11, 2)
SHORT = dataclasses.replace(FULL, seconds=(8.0, 20.0))
SHORT_NARROW = dataclasses.replace(NARROW, seconds=(8.0, 20.0))
PIECES = 60


@functools.cache
def series(settings: ComposeSettings) -> list[Notes]:
    return [compose(5, settings, index) for index in range(PIECES)]


def table(notes: Notes) -> np.ndarray:
    """int [n, 6]: onset and offset in milliseconds, program, is_drum, pitch, velocity."""
    milliseconds = np.rint(1000 * np.stack([notes.onset_seconds, notes.offset_seconds]))
    rest = notes.program, notes.is_drum, notes.pitch, notes.velocity
    return np.stack([*milliseconds, *rest]).astype(np.int64).T


def most_voices(notes: Notes) -> int:
    """The largest number of notes that sound together, counted at every onset."""
    onsets, offsets = notes.onset_seconds, notes.offset_seconds
    return max(int(np.sum((onsets <= now) & (now < offsets))) for now in onsets)


# ------------------------------------------------------------------ the same piece every time


@pytest.mark.parametrize(
    ("settings", "digest"),
    [
        (SHORT, "723addab8a22cb23"),
        (SHORT_NARROW, "b214aa53f4b2e354"),
    ],
)
def test_series_are_what_they_have_always_been(settings: ComposeSettings, digest: str):
    # A corpus is named by its seed: whoever changes the composer changes every corpus, knowingly.
    hashed = hashlib.sha256()
    for notes in series(settings)[:10]:
        hashed.update(table(notes).astype("<i8").tobytes())
    assert hashed.hexdigest()[:16] == digest


def test_piece_does_not_depend_on_others():
    again = compose(5, SHORT, 7)
    assert np.array_equal(table(again), table(series(SHORT)[7]))
    assert again.total_seconds == series(SHORT)[7].total_seconds


def test_seeds_and_indices_name_different_pieces():
    pieces = [compose(seed, SHORT, index) for seed in range(3) for index in range(3)]
    assert len({table(notes).tobytes() for notes in pieces}) == 9


def test_a_worker_can_be_sent_the_job():
    job = pickle.loads(pickle.dumps(functools.partial(compose, 5, SHORT_NARROW)))
    notes = pickle.loads(pickle.dumps(job(3)))
    assert np.array_equal(table(notes), table(series(SHORT_NARROW)[3]))


def test_dice_are_the_uniform_doubles_of_pcg64():
    expected = np.random.Generator(np.random.PCG64(np.random.SeedSequence([3, 4]))).random(3)
    dice = Dice(3, 4)
    assert [dice.uniform(0, 1), dice.uniform(2, 4), dice.log_uniform(1, 10)] == pytest.approx(
        [expected[0], 2 + 2 * expected[1], 10 ** expected[2]], rel=1e-12
    )


def test_dice_are_fair():
    dice = Dice(0)
    counts = np.bincount([dice.integer(1, 6) for _ in range(6000)])
    assert counts[0] == 0
    assert len(counts) == 7
    assert counts[1:] == pytest.approx(1000, abs=120)  # four standard deviations
    picks = [dice.pick("ab", (3, 1)) for _ in range(4000)]
    assert picks.count("a") == pytest.approx(3000, abs=110)
    assert sum(dice.chance(0.2) for _ in range(4000)) == pytest.approx(800, abs=101)
    firsts = [dice.shuffle("abcd")[0] for _ in range(4000)]
    assert {mark: firsts.count(mark) for mark in "abcd"} == pytest.approx(
        dict.fromkeys("abcd", 1000), abs=110
    )


# ------------------------------------------------------------------ within the settings

SETTINGS = (
    SHORT,
    SHORT_NARROW,
    dataclasses.replace(SHORT, pitch_range=(50, 70), velocity_range=(80, 80), max_voices=3),
    dataclasses.replace(SHORT, salad_probability=1.0, drums_probability=1.0, density=(1.0, 1.0)),
    dataclasses.replace(SHORT, programs=(127, 73, 0), seconds=(1.0, 1.5), parts=(3, 15)),
)


@pytest.mark.parametrize("settings", SETTINGS)
def test_pieces_keep_to_their_settings(settings: ComposeSettings):
    for index in range(25):
        notes = compose(11, settings, index)
        pitched = notes.select(~notes.is_drum)
        assert len(notes) > 0
        assert settings.seconds[0] <= notes.total_seconds <= settings.seconds[1]
        assert notes.offset_seconds.max() < notes.total_seconds
        assert set(pitched.program.tolist()) <= set(settings.programs)
        assert len(set(pitched.program.tolist())) <= settings.parts[1]
        assert np.all(pitched.pitch >= settings.pitch_range[0])
        assert np.all(pitched.pitch <= settings.pitch_range[1])
        assert np.all(notes.velocity >= settings.velocity_range[0])
        assert np.all(notes.velocity <= settings.velocity_range[1])
        assert most_voices(notes) <= settings.max_voices
        if not settings.drums_probability:
            assert not notes.is_drum.any()
        for program in set(pitched.program.tolist()):
            part = pitched.select(pitched.program == program)
            player = instrument(program)
            assert part.pitch.min() >= player.low
            assert part.pitch.max() <= player.high
            assert most_voices(part) <= player.voices


@pytest.mark.parametrize("settings", SETTINGS)
def test_rows_are_sorted_whole_milliseconds_without_overlaps(settings: ComposeSettings):
    for index in range(25):
        notes = compose(12, settings, index)
        rows = table(notes)
        assert np.allclose(
            rows[:, :2] / 1000, np.stack([notes.onset_seconds, notes.offset_seconds]).T
        )
        assert np.all(np.diff(rows[:, 0]) >= 0)
        assert np.all(rows[:, 1] - rows[:, 0] >= 40)
        # In the order of instrument, key and time, each note ends before the next begins.
        order = np.lexsort((rows[:, 0], rows[:, 4], rows[:, 3], rows[:, 2]))
        earlier, later = rows[order[:-1]], rows[order[1:]]
        same_key = np.all(earlier[:, 2:5] == later[:, 2:5], axis=1)
        assert np.all(earlier[same_key, 1] <= later[same_key, 0])


def test_drums_are_general_midi():
    hits = [notes.select(notes.is_drum) for notes in series(SHORT)]
    pitches = np.concatenate([notes.pitch for notes in hits])
    assert (LOWEST_DRUM, HIGHEST_DRUM) == (35, 81)
    assert pitches.min() >= 35
    assert pitches.max() <= 81
    assert len(set(pitches.tolist())) > 40
    lengths = np.concatenate([notes.offset_seconds - notes.onset_seconds for notes in hits])
    assert lengths.max() == pytest.approx(0.1)


# ------------------------------------------------------------------ variety


def test_series_covers_instruments_bands_and_pace():
    pieces = [compose(1, SHORT, index) for index in range(200)]
    bands = [set(notes.program[~notes.is_drum].tolist()) for notes in pieces]
    assert set().union(*bands) == set(SLAKH_CLASSES)
    sizes = np.bincount([len(band) for band in bands])
    assert np.all(sizes[1:9] > 0)  # solos to eight players
    with_drums = np.mean([notes.is_drum.any() for notes in pieces])
    assert with_drums == pytest.approx(0.5, abs=0.12)
    assert any(notes.is_drum.all() for notes in pieces)
    notes_per_second = [len(notes) / notes.total_seconds for notes in pieces]
    assert np.quantile(notes_per_second, 0.1) < 4
    assert np.quantile(notes_per_second, 0.9) > 18
    pitches = np.concatenate([notes.pitch[~notes.is_drum] for notes in pieces])
    assert pitches.min() < 30
    assert pitches.max() > 95
    velocities = np.concatenate([notes.velocity for notes in pieces])
    assert np.std(velocities) > 15


def share_in_best_scale(notes: Notes) -> float:
    """The share of notes in the major scale that holds most of them; 7/12 if pitches are random."""
    classes = np.bincount(notes.pitch % 12, minlength=12)
    best = max(sum(classes[(tonic + step) % 12] for step in MAJOR) for tonic in range(12))
    return best / classes.sum()


def test_music_has_a_key_and_salad_has_none():
    music = dataclasses.replace(SHORT, salad_probability=0.0, drums_probability=0.0)
    salad = dataclasses.replace(music, salad_probability=1.0)
    in_key, out_of_key = (
        np.mean([share_in_best_scale(notes) for notes in series(settings) if len(notes) > 100])
        for settings in (music, salad)
    )
    assert in_key > 0.85
    assert out_of_key < 0.72


# ------------------------------------------------------------------ theory


def test_key_numbers_the_scale():
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


def test_voicing_takes_neighbouring_tones_around_the_centre():
    chord = Chord(0.0, 4.0, C)
    # The windows of three around middle C: G C E has the mean 59, C E G has 63.67, E G C 66.33.
    assert voicing(chord, 48, 84, 3, center=59.5) == [55, 60, 64]
    assert voicing(chord, 48, 84, 3, center=66) == [64, 67, 72]
    assert voicing(chord, 60, 84, 3, center=40) == [60, 64, 67]


def test_progressions_of_one_key_are_diatonic_thirds():
    # Borrowed dominants and altered thirds aside, chords are thirds stacked on the scale.
    scale = {pitch % 12 for pitch in MAJOR}
    dice = Dice(0)
    chords = [
        chord
        for _ in range(60)
        for chord in random_passage(dice, C_MAJOR, FOUR_FOUR, 4, 0.5).chords
    ]
    diatonic = [set(chord.classes) <= scale for chord in chords]
    assert np.mean(diatonic) > 0.9
    assert {chord.classes[:3] for chord in chords} >= {(0, 4, 7), (5, 9, 0), (7, 11, 2), (9, 0, 4)}


@pytest.mark.parametrize("meter", METERS)
@pytest.mark.parametrize(
    ("density", "least", "most"), [(0.0, 0.2, 0.7), (0.5, 0.8, 1.8), (1.0, 2.0, 3.0)]
)
def test_rhythm_fills_a_bar_without_overlaps(
    meter: Meter, density: float, least: float, most: float
):
    dice = Dice(1)
    counts = []
    for _ in range(50):
        cells = rhythm(dice, meter, density)
        starts, lengths = np.array(cells).T
        assert starts[0] >= 0
        assert np.all(starts[1:] - (starts + lengths)[:-1] > -1e-9)
        assert starts[-1] + lengths[-1] <= meter.bar_beats + 1e-9
        counts.append(len(cells))
    assert least < np.mean(counts) / meter.bar_beats < most


PASSAGE = Passage(C_MAJOR, FOUR_FOUR, 2, (Chord(0.0, 4.0, C), Chord(4.0, 4.0, G)), 0.5)
KEYBOARD = Compass(36, 84, 8, rings=True)


@pytest.mark.parametrize("role", ["chords", "arpeggio", "pad"])
def test_accompaniment_plays_the_chords(role: Role):
    for seed in range(20):
        for event in play(Dice(seed), role, PASSAGE, KEYBOARD):
            # A tied tone belongs to the chord it began in.
            chord = C if event.start < 4 - 1e-6 else G
            assert event.pitch % 12 in chord
            assert event.start + event.length <= 8 + 1e-6


def test_bass_has_the_root_when_the_chord_changes():
    roots = []
    for seed in range(40):
        events = play(Dice(seed), "bass", PASSAGE, Compass(28, 55, 1, rings=True))
        for beat, root in ((0.0, 0), (4.0, 7)):
            roots += [event.pitch % 12 == root for event in events if event.start == beat]
    assert len(roots) > 40
    assert all(roots)


def test_melody_moves_by_step_and_lands_on_chord_tones():
    leaps, landed = [], []
    for seed in range(40):
        events = play(Dice(seed), "melody", PASSAGE, Compass(60, 84, 1, rings=False))
        leaps += np.abs(np.diff([event.pitch for event in events])).tolist()
        landed += [
            event.pitch % 12 in (C if event.start < 4 else G)
            for event in events
            if event.start % 1 == 0
        ]
    assert np.median(leaps) <= 4
    assert all(landed)


def test_pads_tie_what_chords_share():
    # C and G share the note G; tied, it lasts for both chords.
    held = [
        event
        for seed in range(20)
        for event in play(Dice(seed), "pad", PASSAGE, KEYBOARD)
        if event.pitch % 12 == 7 and event.length == 8
    ]
    assert held


def test_clock_swings_and_follows_the_tempo():
    # Two beats at 120 a minute, then two at 60; the first half of each beat takes two thirds.
    clock = _Clock(np.array([0.0, 2.0, 4.0]), np.array([100.0, 1100.0, 3100.0]), 2 / 3)
    expected = [100, 100 + 500 * 2 / 3, 600, 600 + 500 * 5 / 6, 1100, 1100 + 1000 * 2 / 3, 3100]
    assert clock.at([0, 0.5, 1, 1.75, 2, 2.5, 4]) == pytest.approx(expected)


# ------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"seconds": (0.5, 2.0)}, "seconds"),
        ({"seconds": (20.0, 10.0)}, "seconds"),
        ({"parts": (0, 3)}, "parts"),
        ({"parts": (1, 16)}, "parts"),
        ({"pitch_range": (21, 128)}, "pitch_range"),
        ({"velocity_range": (0, 100)}, "velocity_range"),
        ({"density": (0.5, 1.5)}, "density"),
        ({"tempo_bpm": (1.0, 100.0)}, "tempo_bpm"),
        ({"drums_probability": 1.5}, "drums_probability"),
        ({"salad_probability": -0.1}, "salad_probability"),
        ({"max_voices": 0}, "max_voices"),
        ({"programs": ()}, "programs"),
        ({"programs": (128,)}, "programs"),
        ({"programs": (47,), "pitch_range": (50, 90)}, "programs"),  # timpani end at 57
    ],
)
def test_impossible_settings_are_refused(changes: dict, subject: str):
    with pytest.raises(ConfigError) as caught:
        dataclasses.replace(FULL, **changes)
    assert caught.value.subject == subject


def test_seeds_are_not_negative():
    for seed, index in ((-1, 0), (0, -1)):
        with pytest.raises(ConfigError, match="0 or more"):
            compose(seed, FULL, index)
