import dataclasses
import functools
import hashlib
import pickle

import numpy as np
import pytest

from spectrodiff.composer.compose import TempoMap, compose
from spectrodiff.composer.drums import HIGHEST_DRUM, LOWEST_DRUM
from spectrodiff.composer.harmony import MAJOR
from spectrodiff.composer.settings import FULL, NARROW, ComposeSettings
from spectrodiff.core.errors import ConfigError
from spectrodiff.music.instruments import instrument
from spectrodiff.music.notes import Notes
from spectrodiff.music.programs import SLAKH_CLASSES

SHORT = dataclasses.replace(FULL, seconds=(8.0, 20.0))
SHORT_NARROW = dataclasses.replace(NARROW, seconds=(8.0, 20.0))
SONGS = 60


@functools.cache
def series(settings: ComposeSettings) -> list[Notes]:
    return [compose(5, settings, index) for index in range(SONGS)]


def table(notes: Notes) -> np.ndarray:
    """Returns onset and offset in ms, program, is_drum, pitch and velocity, int [n, 6]."""
    milliseconds = np.rint(1000 * np.stack([notes.onset_seconds, notes.offset_seconds]))
    rest = notes.program, notes.is_drum, notes.pitch, notes.velocity
    return np.stack([*milliseconds, *rest]).astype(np.int64).T


def most_voices(notes: Notes) -> int:
    """Returns the maximum number of simultaneous notes, counted at each onset."""
    onsets, offsets = notes.onset_seconds, notes.offset_seconds
    return max(int(np.sum((onsets <= now) & (now < offsets))) for now in onsets)


# ------------------------------------------------------------------ reproducibility


@pytest.mark.parametrize(
    ("settings", "digest"),
    [
        (SHORT, "723addab8a22cb23"),
        (SHORT_NARROW, "b214aa53f4b2e354"),
    ],
)
def test_series_are_unchanged_between_versions(settings: ComposeSettings, digest: str):
    # A corpus is identified by its seed, so a change of the composer changes every such corpus.
    hashed = hashlib.sha256()
    for notes in series(settings)[:10]:
        hashed.update(table(notes).astype("<i8").tobytes())
    assert hashed.hexdigest()[:16] == digest


def test_a_song_does_not_depend_on_others():
    again = compose(5, SHORT, 7)
    assert np.array_equal(table(again), table(series(SHORT)[7]))
    assert again.total_seconds == series(SHORT)[7].total_seconds


def test_seeds_and_indices_give_different_songs():
    songs = [compose(seed, SHORT, index) for seed in range(3) for index in range(3)]
    assert len({table(notes).tobytes() for notes in songs}) == 9


def test_the_composer_and_its_songs_can_be_pickled():
    job = pickle.loads(pickle.dumps(functools.partial(compose, 5, SHORT_NARROW)))
    notes = pickle.loads(pickle.dumps(job(3)))
    assert np.array_equal(table(notes), table(series(SHORT_NARROW)[3]))


# ------------------------------------------------------------------ within the settings

SETTINGS = (
    SHORT,
    SHORT_NARROW,
    dataclasses.replace(SHORT, pitch_range=(50, 70), velocity_range=(80, 80), max_voices=3),
    dataclasses.replace(
        SHORT, random_notes_probability=1.0, drums_probability=1.0, density=(1.0, 1.0)
    ),
    dataclasses.replace(SHORT, programs=(127, 73, 0), seconds=(1.0, 1.5), parts=(3, 15)),
)


@pytest.mark.parametrize("settings", SETTINGS)
def test_songs_satisfy_their_settings(settings: ComposeSettings):
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
            limits = instrument(program)
            assert part.pitch.min() >= limits.low
            assert part.pitch.max() <= limits.high
            assert most_voices(part) <= limits.voices


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
        # Sorted by instrument, pitch and time, each note ends before the next starts.
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


def test_series_covers_instruments_ensembles_and_densities():
    songs = [compose(1, SHORT, index) for index in range(200)]
    bands = [set(notes.program[~notes.is_drum].tolist()) for notes in songs]
    assert set().union(*bands) == set(SLAKH_CLASSES)
    sizes = np.bincount([len(band) for band in bands])
    assert np.all(sizes[1:9] > 0)  # solos to eight players
    with_drums = np.mean([notes.is_drum.any() for notes in songs])
    assert with_drums == pytest.approx(0.5, abs=0.12)
    assert any(notes.is_drum.all() for notes in songs)
    notes_per_second = [len(notes) / notes.total_seconds for notes in songs]
    assert np.quantile(notes_per_second, 0.1) < 4
    assert np.quantile(notes_per_second, 0.9) > 18
    pitches = np.concatenate([notes.pitch[~notes.is_drum] for notes in songs])
    assert pitches.min() < 30
    assert pitches.max() > 95
    velocities = np.concatenate([notes.velocity for notes in songs])
    assert np.std(velocities) > 15


def share_in_best_scale(notes: Notes) -> float:
    """Returns the share of notes in the best-fitting major scale; 7/12 for random pitches."""
    classes = np.bincount(notes.pitch % 12, minlength=12)
    best = max(sum(classes[(tonic + step) % 12] for step in MAJOR) for tonic in range(12))
    return best / classes.sum()


def test_music_has_a_key_and_random_notes_have_none():
    music = dataclasses.replace(SHORT, random_notes_probability=0.0, drums_probability=0.0)
    random = dataclasses.replace(music, random_notes_probability=1.0)
    in_key, out_of_key = (
        np.mean([share_in_best_scale(notes) for notes in series(settings) if len(notes) > 100])
        for settings in (music, random)
    )
    assert in_key > 0.85
    assert out_of_key < 0.72


def test_tempo_map_applies_tempo_and_swing():
    # Two beats at 120 bpm, then two at 60 bpm; the first half of each beat takes two thirds of it.
    tempo_map = TempoMap(np.array([0.0, 2.0, 4.0]), np.array([100.0, 1100.0, 3100.0]), 2 / 3)
    expected = [100, 100 + 500 * 2 / 3, 600, 600 + 500 * 5 / 6, 1100, 1100 + 1000 * 2 / 3, 3100]
    assert tempo_map.at([0, 0.5, 1, 1.75, 2, 2.5, 4]) == pytest.approx(expected)


def test_seeds_are_not_negative():
    for seed, index in ((-1, 0), (0, -1)):
        with pytest.raises(ConfigError, match="0 or more"):
            compose(seed, FULL, index)
