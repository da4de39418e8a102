"""Songs of recipes are reproducible and cover all instruments, pitches and velocities."""

import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError
from spectrodiff.music.programs import SLAKH_CLASSES
from spectrodiff.recipe.music import HIGHEST_KEY, LOWEST_KEY, write_song

SECONDS = 20.0


@pytest.fixture(scope="module")
def songs():
    return [write_song(3, index, SECONDS) for index in range(160)]


def test_songs_follow_from_their_number(songs):
    again = write_song(3, 5, SECONDS)
    for column in ("onset_seconds", "offset_seconds", "pitch", "velocity", "program", "is_drum"):
        np.testing.assert_array_equal(getattr(again, column), getattr(songs[5], column))
    other = write_song(4, 5, SECONDS)
    assert len(other) != len(again) or (other.pitch != again.pitch).any()


def test_songs_have_the_length_asked_for(songs):
    for notes in songs:
        assert len(notes)
        assert notes.total_seconds == SECONDS
        # The renderer's ticks are milliseconds; shorter notes would be lengthened.
        assert (notes.offset_seconds - notes.onset_seconds).min() >= 0.001


def test_all_instruments_pitches_and_velocities_occur(songs):
    pitch, velocity, program, is_drum = (
        np.concatenate([getattr(notes, name) for notes in songs])
        for name in ("pitch", "velocity", "program", "is_drum")
    )
    assert set(program[~is_drum]) == set(SLAKH_CLASSES)
    assert set(pitch[(program == 0) & ~is_drum]) >= set(range(LOWEST_KEY, HIGHEST_KEY + 1))
    assert 0.05 < is_drum.mean() < 0.5
    assert any(notes.is_drum.all() for notes in songs)
    # Soft and loud notes, with a median like that of real songs.
    assert velocity.min() < 10
    assert velocity.max() == 127
    assert 55 < np.median(velocity) < 100
    longest = max((notes.offset_seconds - notes.onset_seconds).max() for notes in songs)
    assert longest > 5


def test_up_to_twelve_voices_and_ten_repetitions_a_second(songs):
    voices, fastest = [], np.inf
    for notes in songs:
        times = notes.onset_seconds[:, None]
        sounding = (notes.onset_seconds <= times) & (notes.offset_seconds > times)
        voices.append(sounding[:, ~notes.is_drum].sum(axis=1).max())
        for pitch in np.unique(notes.pitch[~notes.is_drum]):
            onsets = np.sort(notes.onset_seconds[(notes.pitch == pitch) & ~notes.is_drum])
            gaps = np.diff(np.unique(onsets))
            if len(gaps) > 5:
                fastest = min(fastest, np.sort(gaps)[5])
    assert max(voices) >= 12
    assert fastest < 0.1


def test_numbers_below_zero_are_refused():
    with pytest.raises(ConfigError, match="0 or more"):
        write_song(-1, 0, SECONDS)
