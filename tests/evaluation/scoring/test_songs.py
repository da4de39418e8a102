"""Scores of songs by metrics whose answers are known, and what is stored of them."""

import numpy as np
import pytest

from spectrodiff.core.errors import AudioError
from spectrodiff.evaluation.metrics.embeddings.log_mel_statistics import LogMelStatistics
from spectrodiff.evaluation.metrics.minutes import Score
from spectrodiff.evaluation.protocol import ALIGNED, EvaluationSong
from spectrodiff.evaluation.scoring.embedding import EmbeddingMetric
from spectrodiff.evaluation.scoring.metric import Comparison
from spectrodiff.evaluation.scoring.signal import SignalMetric
from spectrodiff.evaluation.scoring.songs import score_songs
from spectrodiff.evaluation.scoring.transcription import TranscriptionMetric
from spectrodiff.evaluation.settings import Row
from spectrodiff.evaluation.store import SongFiles
from tests.support.notation import note_table

MODEL, RAW = Row("model"), Row("raw", "raw")
MINUTE = 60 * 16_000


class Loudness:
    """Two numbers a second: the mean, and zero."""

    name = "Loudness 2.0"
    sample_rate = 16_000
    calls = 0

    def __call__(self, audio):
        self.calls += 1
        means = audio.reshape(-1, 16_000).mean(axis=1)
        return np.stack([means, np.zeros_like(means)], axis=1)


class Hears:
    name = "Ears"

    def __init__(self, *rows, tells_programs=False):
        self.notes = note_table(rows)
        self.tells_programs = tells_programs
        self.calls = 0

    def __call__(self, audio):
        self.calls += 1
        return self.notes


def note(onset, offset=None, pitch=60, program=0, is_drum=False):
    return onset, offset or onset + 0.5, pitch, 100, program, is_drum


def song(seconds=90, *rows):
    audio = np.full(round(seconds * 16_000), 0.25, np.float32)
    notes = note_table(rows or [note(0.1)], seconds)
    return EvaluationSong("one", audio, notes, notes)


def comparison(tmp_path, song, audio=None, row=MODEL):
    files = SongFiles(tmp_path, "pairs/own", song.id)
    return Comparison(files, row, song.audio if audio is None else audio, song, ALIGNED)


def test_embeddings_are_compared_by_minutes_and_kept(tmp_path):
    audio = song().audio.copy()
    audio[:MINUTE] += 0.5
    audio[MINUTE:] -= 0.25
    embedding = Loudness()
    metric = EmbeddingMetric(embedding, "0123abcd")
    assert metric.id == "loudness_2_0-0123abcd"
    assert [column.name for column in metric.columns] == [
        "loudness_2_0_reconstruction",
        "loudness_2_0_frechet",
    ]
    # 60 seconds are 0.5 off, 30 are 0.25.
    expected = {"loudness_2_0_reconstruction": Score(37.5 / 90, [0.5, 0.25])}
    assert metric(comparison(tmp_path, song(), audio)) == expected
    assert embedding.calls == 2
    names = sorted(path.name for path in (tmp_path / "media/pairs/own/one").iterdir())
    assert names == [f"{name}.loudness_2_0-0123abcd.npy" for name in ("model", "recording")]
    assert metric(comparison(tmp_path, song(), audio)) == expected
    # The true audio's row needs no embedding of its own.
    assert metric(comparison(tmp_path, song(), row=RAW)) == {
        "loudness_2_0_reconstruction": Score(0.0, [0.0, 0.0])
    }
    assert embedding.calls == 2


def test_louder_noise_is_further_from_a_recording(tmp_path):
    noise = np.random.default_rng(1).standard_normal(160_000).astype(np.float32)
    target = EvaluationSong("one", 0.1 * noise, *[note_table([note(0.1)], 10)] * 2)
    other = np.random.default_rng(2).standard_normal(160_000).astype(np.float32)
    metric = EmbeddingMetric(LogMelStatistics())
    near, far, silent = (
        metric(comparison(tmp_path, target, level * other, Row(f"row-{number}")))
        for number, level in enumerate((0.11, 0.5, 0.0))
    )
    [name] = near
    # Silence is embedded as well: a bad score, but a number.
    assert near[name].whole < far[name].whole < silent[name].whole < np.inf


def test_songs_shorter_than_a_minute_have_one(tmp_path):
    score = EmbeddingMetric(Loudness())(comparison(tmp_path, song(2.5)))
    assert score["loudness_2_0_reconstruction"] == Score(0.0, [0.0])


def test_transcription_with_programs(tmp_path):
    played = song(
        90,
        note(1, program=4),
        note(2, program=40, pitch=62),
        note(3, pitch=36, is_drum=True),
        note(61, 62, program=4, pitch=64),
    )
    heard = Hears(
        note(1, program=4),  # right
        note(2, program=41, pitch=62),  # another instrument of the family
        note(3.04, 3.1, pitch=36, is_drum=True),  # right: drums have no end
        note(61, 61.5, program=4, pitch=64),  # ends half a second early
        tells_programs=True,
    )
    scores = TranscriptionMetric(heard, "0123abcd")(comparison(tmp_path, played))
    assert scores == {
        "transcription_f1_full": Score(2 / 4, [2 / 3, 0.0]),
        "transcription_f1_midi_class": Score(3 / 4, [1.0, 0.0]),
        "transcription_f1_flat": Score(3 / 4, [1.0, 0.0]),
        "transcription_f1_full_nondrums": Score(1 / 3, [1 / 2, 0.0]),
        "transcription_f1_full_drums": Score(1.0, [1.0, None]),
        "onset_f1": Score(1.0, [1.0, 1.0]),  # of three notes that are no drums
        "onset_offset_f1": Score(2 / 3, [1.0, 0.0]),
    }


def test_transcription_without_programs(tmp_path):
    """Instruments are ignored, drums left out; unison is heard once."""
    played = song(
        130,
        note(1, program=40),
        note(1, program=73),
        note(2, pitch=36, is_drum=True),
        note(121, pitch=70),
    )
    metric = TranscriptionMetric(Hears(note(1.02, 1.5)), "package")
    assert [column.name for column in metric.columns] == ["onset_f1", "onset_offset_f1"]
    # One of one heard, of three played: 2 * 1 / (1 + 3). Nothing is played in the second minute.
    expected = Score(0.5, [2 / 3, None, 0.0])
    assert metric(comparison(tmp_path, played)) == {
        "onset_f1": expected,
        "onset_offset_f1": expected,
    }


class Corpus:
    name, protocol = "pairs/own", ALIGNED

    def __init__(self, *songs):
        self._songs = songs

    def __getitem__(self, number):
        return self._songs[number]


def test_what_is_stored_is_not_scored_again(tmp_path):
    corpus = Corpus(song(2.0))
    files = SongFiles(tmp_path, "pairs/own", "one")
    files.write_audio(MODEL, song(2.0).audio * 0.5)
    heard = Hears(note(0.1))
    metrics = [SignalMetric(), TranscriptionMetric(heard, "a")]
    score_songs(metrics[:1], tmp_path, [MODEL], corpus, [0], progress=False)
    before = files.read_scores(MODEL)
    assert before["signal"]["log_mel_l1"].whole == pytest.approx(np.log(2), rel=0.2)
    for _ in range(2):
        score_songs(metrics, tmp_path, [MODEL], corpus, [0], progress=False)
    assert heard.calls == 1
    assert files.read_scores(MODEL).keys() == {"signal", "ears-a"}
    assert files.read_scores(MODEL)["signal"] == before["signal"]


def test_audio_that_cannot_be_of_the_song(tmp_path):
    files = SongFiles(tmp_path, "pairs/own", "one")
    corpus, metrics = Corpus(song(90)), [SignalMetric()]
    with pytest.raises(AudioError, match=r"model.flac: expected an audio file, got no such file"):
        score_songs(metrics, tmp_path, [MODEL], corpus, [0], progress=False)
    files.write_audio(MODEL, np.zeros(16_000, np.float32))
    with pytest.raises(AudioError, match="one: model: expected lengths that differ by at most"):
        score_songs(metrics, tmp_path, [MODEL], corpus, [0], progress=False)
    assert files.read_scores(MODEL) == {}
