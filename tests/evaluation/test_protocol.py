"""Audio and notes that the two protocols compare, by numbers worked out by hand."""

import dataclasses

import numpy as np
import pytest

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.recordings import Recording
from spectrodiff.evaluation.metrics.embeddings.embedding import embed
from spectrodiff.evaluation.protocol import ALIGNED, Protocol
from spectrodiff.evaluation.scoring.embedding import EmbeddingMetric
from spectrodiff.evaluation.scoring.metric import Comparison
from spectrodiff.evaluation.scoring.transcription import TranscriptionMetric
from spectrodiff.evaluation.settings import Row
from spectrodiff.evaluation.store import SongFiles
from spectrodiff.music.tokenizer import tokenize_song
from tests.support.notation import note_rows, note_table

RELEASED = Protocol("released")
SEGMENT = 256 * 320
MINUTE = 60 * 16_000


def recording(samples, *rows, audio=None):
    audio = np.arange(samples).astype(np.int16) if audio is None else audio
    return Recording("one", audio, note_table(rows, samples / 16_000))


def note(onset, offset, pitch=60):
    return onset, offset, pitch, 100, 0, False


def test_aligned_cuts_audio_and_notes():
    of_four_seconds = recording(64_000, note(0.5, 1), note(1, 3.5), note(2.5, 4))
    song = Protocol(max_minutes=2.5 / 60).song(of_four_seconds)
    assert len(song.audio) == 40_000
    np.testing.assert_array_equal(song.audio[:3], [0, 1 / 32768, 2 / 32768])
    # The second note is cut; the third begins just where the audio ends.
    assert note_rows(song.notes) == note_rows(song.reference) == [note(0.5, 1), note(1, 2.5)]
    assert song.notes.total_seconds == 2.5
    whole = ALIGNED.song(recording(64_000, note(0.5, 1)))
    assert (len(whole.audio), whole.notes.total_seconds) == (64_000, 4.0)


def test_aligned_scores_the_notes_that_are_rendered():
    """Four notes of one pitch, of which one lies within another and one ends in the next."""
    rows = [note(0, 2), note(1, 1.5), note(3, 4.5), note(4, 5)]
    trimmed = dataclasses.replace(ALIGNED, trims_references=True).song(recording(96_000, *rows))
    expected = [note(0, 1), note(1, 1.5), note(3, 4), note(4, 5)]
    assert note_rows(trimmed.reference) == expected
    assert note_rows(trimmed.notes) == rows
    assert note_rows(ALIGNED.song(recording(96_000, *rows)).reference) == rows


def test_a_beginning_without_notes_is_refused():
    with pytest.raises(CorpusError, match=r"one: expected notes in its first 1\.0 s, got none"):
        Protocol(max_minutes=1 / 60).song(recording(64_000, note(2, 3)))


def test_checksums_change_with_audio_and_notes():
    song = recording(16_000, note(0.1, 0.2), note(0.3, 0.4))
    others = [
        recording(16_000, note(0.1, 0.2), note(0.3, 0.5)),
        recording(16_000, note(0.1, 0.2)),
        Recording("one", song.audio[::-1].copy(), song.notes),
    ]
    assert len({ALIGNED.song(other).checksum for other in [song, song, *others]}) == 4


@pytest.mark.parametrize(
    ("samples", "frames", "segments"),
    [
        (100_000, 313, 2),  # 312.5 frames
        (99_840, 313, 2),  # 312 frames, and one without audio
        (81_919, 256, 1),
        (81_920, 257, 2),  # a whole segment of audio needs a frame more
        # 10 minutes are 30,000 frames; minute 10 begins in segment 117 of 0, 1, ...
        (30_000 * 320, 30_001, 118),
        (40_000 * 320, 30_208, 118),
    ],
)
def test_released_lengths(samples, frames, segments):
    audio = np.ones(samples, np.int16)
    song = RELEASED.song(recording(samples, note(0.5, 1), audio=audio))
    assert len(song.audio) == frames * 320
    assert np.count_nonzero(song.audio) == min(samples, frames * 320)
    assert RELEASED.rendered_samples(len(song.audio)) == segments * SEGMENT
    assert ALIGNED.rendered_samples(samples) == samples
    assert len(ALIGNED.song(recording(samples, note(0.5, 1))).audio) == min(samples, 10 * MINUTE)
    tokens = RELEASED.tokens(tokenize_song(song.notes))
    assert tokens.tokens.shape == (segments, 2048)
    assert RELEASED.count_segments(song) == segments
    assert (tokens.num_frames, tokens.num_samples) == (segments * 256, segments * SEGMENT)
    # The last segment of the features is filled up with zeros.
    features = RELEASED.encoded(np.full((frames, 128), -9.0))
    assert features.shape == (segments * 256, 128)
    assert (features[:frames] == -9).all()
    assert not features[frames:].any()
    assert ALIGNED.encoded(features) is features


def test_released_cuts_no_notes():
    late = [note(1, 2), note(700, 701)]
    song = RELEASED.song(recording(702 * 16_000, *late))
    assert note_rows(song.reference) == note_rows(song.notes) == late
    # The note is rendered in no segment: it begins after the last one.
    tokens = RELEASED.tokens(tokenize_song(song.notes)).tokens
    assert len(tokens) == 118
    assert tokens[1:, 1:].max() <= 1 + 2  # nothing but closing ties and ends
    short = RELEASED.song(recording(602 * 16_000, late[0]))
    early = RELEASED.tokens(tokenize_song(short.notes))
    np.testing.assert_array_equal(tokens[:1], early.tokens[:1])


class FirstSamples:
    """Embedding with one number a second: the place of its largest sample."""

    name, sample_rate = "Place", 16_000

    def __call__(self, audio):
        return audio.reshape(-1, 16_000).argmax(axis=1, keepdims=True).astype(np.float32)


def impulses(samples):
    audio = np.zeros(samples, np.int16)
    audio[6000::16_000] = 16_384  # once a second
    return audio


def compare(tmp_path, protocol, rendered):
    """Scores a rendering that is equal to the recording as far as that goes."""
    song = protocol.song(recording(103_000, note(0.5, 1), audio=impulses(103_000)))
    files = SongFiles(tmp_path / protocol.name, "pairs/own", "one")
    audio = impulses(rendered).astype(np.float32) / 32768
    audio = protocol.paired(audio, song)
    comparison = Comparison(files, Row("model"), audio, song, protocol)
    return EmbeddingMetric(FirstSamples())(comparison)["place_reconstruction"]


def test_padding_shifts_the_released_frames(tmp_path):
    """A perfect rendering is not at distance zero in the released protocol.

    The recording has 322 frames, 103,040 samples, and is padded to 7 s, 112,000: by 4480 in front.
    The rendering has two segments, 163,840 samples, and is padded to 11 s, 176,000: by 6080.
    So its impulses are 1600 samples later in each of its frames.
    """
    song = RELEASED.song(recording(103_000, note(0.5, 1), audio=impulses(103_000)))
    assert embed(FirstSamples(), song.audio, "")[0] == 6000 + 4480
    rendering = impulses(2 * SEGMENT).astype(np.float32)
    assert embed(FirstSamples(), rendering, "")[0] == 6000 + 6080
    released = compare(tmp_path, RELEASED, 2 * SEGMENT)
    assert released.whole == 1600.0
    # Minute 0 is the first segment, of equal length in both.
    assert released.minutes == [0.0]
    # Aligned, both have the length of the recording.
    assert compare(tmp_path, ALIGNED, 2 * SEGMENT) == (0.0, [0.0])
    assert compare(tmp_path, ALIGNED, 102_999) == (0.0, [0.0])


def test_released_minutes_are_single_segments():
    """Minute 1 is frame 3000 in segment 11 (2816 to 3071), minute 2 frame 6000 in 23 (5888...)."""
    rows = [note(0, 1), note(5.2, 6), note(56, 57), note(56.5, 70), note(61.5, 62), note(118, 119)]
    song = RELEASED.song(recording(121 * 16_000, *rows))
    audio = np.arange(24 * SEGMENT).astype(np.float32)
    first, second, third = RELEASED.excerpts(audio, song)
    assert (first.audio[0], second.audio[0], third.audio[0]) == (0, 11 * SEGMENT, 23 * SEGMENT)
    assert len(first.audio) == len(second.audio) == len(third.audio) == SEGMENT
    # The recording has 6051 frames; 163 of them are in segment 23.
    assert (len(second.target), len(third.target)) == (SEGMENT, 163 * 320)
    # Samples count up and wrap around at 2 ** 16.
    assert second.target[1] * 32768 == (11 * SEGMENT + 1 + 2**15) % 2**16 - 2**15
    assert note_rows(first.reference) == [note(0, 1)]
    # Segment 11 is from 56.32 s to 61.44 s: a note that sounds into it is left out, and one that
    # sounds out of it is cut.
    [(onset, offset, *_)] = note_rows(second.reference)
    assert (onset, offset) == (pytest.approx(0.18), pytest.approx(5.12))
    [(onset, offset, *_)] = note_rows(third.reference)  # from 117.76 s
    assert (onset, offset) == (pytest.approx(0.24), pytest.approx(1.24))


class Hears:
    name, tells_programs = "Ears", True

    def __init__(self, *rows):
        self.notes = note_table(rows)

    def __call__(self, audio):
        return self.notes


def test_songs_without_drums(tmp_path):
    """Released scores count them as 0, aligned ones leave them out."""
    scores = {}
    for protocol in (ALIGNED, RELEASED):
        song = protocol.song(recording(32_000, note(0.5, 1), note(1, 1.5)))
        files = SongFiles(tmp_path, "pairs/own", "one")
        comparison = Comparison(files, Row("model"), song.audio, song, protocol)
        scores[protocol.name] = TranscriptionMetric(Hears(note(0.5, 1)), "a")(comparison)
    drums = "transcription_f1_full_drums"
    assert scores["aligned"][drums] == (None, [None])
    assert scores["released"][drums] == (0.0, [0.0])
    for name in scores:
        assert scores[name]["transcription_f1_full"].whole == pytest.approx(2 / 3)
        assert scores[name]["transcription_f1_full_nondrums"].whole == pytest.approx(2 / 3)
