import numpy as np
import pytest

from spectrodiff.core.errors import AudioError, OutputError
from spectrodiff.evaluation.metrics.distances import Statistics, frechet_distance
from spectrodiff.evaluation.metrics.log_mel_statistics import LogMelStatistics
from spectrodiff.evaluation.scores import (
    SongEmbeddings,
    cut_minutes,
    embed_song,
    score_corpus,
)


def noise(num_samples, seed=0, level=0.1):
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal(num_samples)).astype(np.float32)


def random_songs(count, frames=80, dims=4, seed=0):
    rng = np.random.default_rng(seed)
    return [
        SongEmbeddings(rng.normal(size=(frames + i, dims)), rng.normal(1, 2, (frames, dims)))
        for i in range(count)
    ]


def test_song_against_itself():
    song = embed_song(LogMelStatistics(), noise(40_000), noise(40_000), "song")
    assert song.reconstruction == 0
    scores = score_corpus([song], expected_songs=1)
    assert scores.frechet == pytest.approx(0, abs=1e-6)
    assert (scores.songs, scores.frames, scores.dims) == (1, 5, 128)


def test_padding_comes_before_the_embedding():
    """1.5 s become 2 s with a quarter of a second of silence on either side."""
    song = embed_song(LogMelStatistics(), noise(24_000), noise(32_000), "song")
    padded = np.pad(noise(24_000), 4_000)
    np.testing.assert_array_equal(song.prediction, LogMelStatistics()(padded))
    assert len(song.prediction) == len(song.target) == 3


def test_louder_noise_is_further_from_a_recording():
    target = noise(160_000, seed=1)
    near, far, silent = (
        embed_song(LogMelStatistics(), noise(160_000, 2, level), target, "song")
        for level in (0.11, 0.5, 0.0)
    )
    assert near.reconstruction < far.reconstruction < silent.reconstruction
    # Silence is heard as silence: bad, but a number.
    assert np.isfinite(score_corpus([silent], expected_songs=1).frechet)


def test_unusable_songs_are_named():
    good = noise(20_000)
    with pytest.raises(AudioError, match="song 3: prediction: expected finite samples"):
        embed_song(LogMelStatistics(), np.full(20_000, np.nan), good, "song 3")
    with pytest.raises(AudioError, match=r"song 3: expected lengths that differ by at most"):
        embed_song(LogMelStatistics(), noise(200_000), good, "song 3")


def test_scores_of_a_corpus():
    songs = random_songs(5)
    scores = score_corpus(songs, expected_songs=5, replicates=50)
    assert (scores.songs, scores.frames, scores.dims) == (5, 5 * 80 + 10, 4)
    # Songs count alike in the reconstruction distance, frames in the Frechet distance.
    each = [np.linalg.norm(song.prediction[:80] - song.target, axis=1).mean() for song in songs]
    assert scores.reconstruction == pytest.approx(np.mean(each))
    expected = frechet_distance(
        Statistics.of(np.concatenate([song.prediction for song in songs])),
        Statistics.of(np.concatenate([song.target for song in songs])),
    )
    assert scores.frechet == pytest.approx(expected, rel=1e-10)
    assert min(each) <= scores.reconstruction_interval.low < scores.reconstruction
    assert scores.reconstruction < scores.reconstruction_interval.high <= max(each)
    assert scores.frechet_interval.low < scores.frechet_interval.high
    assert scores.frechet_at_infinity.frames == 410
    assert scores.frechet_at_infinity.value < scores.frechet


def test_one_song_has_scores_but_no_intervals():
    scores = score_corpus(random_songs(1), expected_songs=1)
    assert scores.reconstruction_interval is None
    assert scores.frechet_interval is None
    assert scores.frechet_at_infinity is not None


def test_what_is_too_little_is_left_out():
    scores = score_corpus(random_songs(2, frames=20), expected_songs=2, replicates=0)
    assert scores.frechet_at_infinity is None
    assert scores.reconstruction_interval is None


@pytest.mark.parametrize(("given", "expected"), [(2, 3), (3, 2), (0, 0)])
def test_never_of_other_songs_than_asked(given, expected):
    with pytest.raises(AudioError, match=f"embeddings of {expected} songs, got {given}"):
        score_corpus(random_songs(given), expected_songs=expected)


def test_songs_of_different_embeddings_are_refused():
    songs = [*random_songs(1), *random_songs(1, dims=5)]
    with pytest.raises(AudioError, match="same number of dimensions"):
        score_corpus(songs, expected_songs=2)


def test_scoring_again_from_files(tmp_path):
    song = embed_song(LogMelStatistics(), noise(40_000), noise(40_000, 1), "song")
    song.save(tmp_path / "song.npz")
    again = SongEmbeddings.load(tmp_path / "song.npz")
    np.testing.assert_array_equal(again.prediction, song.prediction)
    np.testing.assert_array_equal(again.target, song.target)
    assert [path.name for path in tmp_path.iterdir()] == ["song.npz"]


def test_damaged_and_missing_files(tmp_path):
    song = random_songs(1)[0]
    song.save(tmp_path / "song.npz")
    data = (tmp_path / "song.npz").read_bytes()
    for end in (0, 10, len(data) // 2, len(data) - 1):
        (tmp_path / "song.npz").write_bytes(data[:end])
        with pytest.raises(AudioError, match="embeddings of a song"):
            SongEmbeddings.load(tmp_path / "song.npz")
    with pytest.raises(AudioError, match="embeddings of a song"):
        SongEmbeddings.load(tmp_path / "none.npz")
    with pytest.raises(OutputError):
        song.save(tmp_path / "song.npz" / "song.npz")


@pytest.mark.parametrize(
    ("seconds", "lengths"), [(30, [30]), (60, [60]), (61, [60, 1]), (700, [60] * 10)]
)
def test_minutes(seconds, lengths):
    audio = np.arange(seconds * 16_000)
    minutes = list(cut_minutes(audio))
    assert [len(minute) / 16_000 for minute in minutes] == lengths
    np.testing.assert_array_equal(np.concatenate(minutes), audio[: 600 * 16_000])
