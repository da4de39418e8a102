"""Reading and mixing of recordings, and fitting of their labels."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import soundfile

from spectrodiff.audio.samples import mix_audio, to_int16
from spectrodiff.core.errors import AudioError, MidiError, OutputError
from spectrodiff.data.recordings import (
    RecordingGroup,
    Remark,
    Silent,
    Skip,
    StemReader,
    Unusable,
    fit_notes,
    labeled_notes,
    read_group,
    read_mono,
    read_pcm,
)
from spectrodiff.music.notes import merge_notes
from tests.support.corpora import table, tone, write_tone


def spectrum_peak(audio: np.ndarray, rate: int) -> tuple[float, float]:
    """Returns frequency and amplitude of the loudest sinusoid in the middle half."""
    middle = audio[len(audio) // 4 : -len(audio) // 4]
    window = np.hanning(len(middle))
    spectrum = np.abs(np.fft.rfft(middle * window))
    place = int(np.argmax(spectrum))
    return place * rate / len(middle), 2 * spectrum[place] / window.sum()


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000])
def test_a_tone_keeps_its_pitch_loudness_and_length(tmp_path, rate):
    write_tone(tmp_path / "a.wav", 2.0, 440.0, rate, peak=0.5)
    audio = read_mono(tmp_path / "a.wav")
    assert len(audio) == 32_000
    hertz, amplitude = spectrum_peak(audio, 16_000)
    assert hertz == pytest.approx(440, abs=1)
    assert amplitude == pytest.approx(0.5, rel=0.01)


def test_resampling_does_not_alias(tmp_path):
    # Without a filter, 9 kHz would be aliased to 7 kHz.
    write_tone(tmp_path / "a.wav", 1.0, 9_000.0, 48_000, peak=0.5)
    _, amplitude = spectrum_peak(read_mono(tmp_path / "a.wav"), 16_000)
    assert amplitude < 1e-3


def test_channels_are_averaged(tmp_path):
    left, right = tone(1.0, rate=16_000, peak=0.5), tone(1.0, rate=16_000, peak=0.1)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 16_000)
    expected = tone(1.0, rate=16_000, peak=0.3)
    np.testing.assert_allclose(read_mono(tmp_path / "a.wav"), expected, atol=1e-4)


def test_16_bit_samples_at_16_khz_pass_through_unchanged(tmp_path):
    samples = np.array([0, 1, -1, 1000, 32767, -32768], np.int16)
    soundfile.write(tmp_path / "a.wav", samples, 16_000)
    np.testing.assert_array_equal(to_int16(read_mono(tmp_path / "a.wav")), samples)


def test_unusable_audio_is_refused_with_a_reason(tmp_path):
    with pytest.raises(Unusable, match="no audio file"):
        read_mono(tmp_path / "a.wav")
    write_tone(tmp_path / "slow.wav", 1.0, rate=8_000)
    with pytest.raises(Unusable, match="below 16000 Hz"):
        read_mono(tmp_path / "slow.wav")
    soundfile.write(tmp_path / "silent.wav", np.full(16_000, 8 / 32768), 16_000)
    with pytest.raises(Unusable, match="silent"):
        read_mono(tmp_path / "silent.wav")
    write_tone(tmp_path / "short.wav", 1.0)
    whole = (tmp_path / "short.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AudioError, match="complete"):
        read_mono(tmp_path / "cut.wav")
    (tmp_path / "text.wav").write_text("<html>404</html>")
    with pytest.raises(AudioError):
        read_mono(tmp_path / "text.wav")


@pytest.mark.parametrize(
    ("seconds", "stated", "valid"),
    [
        (20, 24, True),  # a difference of up to five seconds is tolerated
        (20, 26, False),
        (200, 209, True),  # or of 5 % in long recordings
        (200, 200 * 48 / 44.1, False),  # confusion of the two usual rates
        (200, 200 * 44.1 / 48, False),
    ],
)
def test_a_wrong_rate_is_detected_by_the_length(tmp_path, seconds, stated, valid):
    write_tone(tmp_path / "a.wav", seconds, rate=16_000)
    if valid:
        assert len(read_mono(tmp_path / "a.wav", stated)) == seconds * 16_000
    else:
        with pytest.raises(Unusable, match="longer or shorter"):
            read_mono(tmp_path / "a.wav", stated)


def test_a_mix_is_the_sum_of_its_stems():
    mix = mix_audio([np.array([1, 2, 3], np.float32), np.array([10], np.float32)])
    np.testing.assert_array_equal(mix, [11, 2, 3])


def test_samples_above_full_scale_are_clipped_not_wrapped():
    np.testing.assert_array_equal(to_int16(np.array([1.5, -1.5, 0.5])), [32767, -32768, 16384])


def test_labels_are_fitted_to_the_audio():
    notes = table(
        (0.50, 0.80, 64),  # second by onset
        (0.25, 0.25, 61),  # no duration: left out
        (0.10, 0.40, 60),  # first by onset
        (0.90, 1.50, 65),  # cut at 1.0
        (1.00, 1.20, 66),  # starts at the end: left out
    )
    fitted, remarks = fit_notes(notes, 1.0)
    np.testing.assert_array_equal(fitted.pitch, [60, 64, 65])
    np.testing.assert_array_equal(fitted.offset_seconds, [0.4, 0.8, 1.0])
    assert fitted.total_seconds == 1.0
    assert remarks == {
        "notes without duration left out": 1,
        "notes past the end of the audio left out": 1,
        "notes cut at the end of the audio": 1,
    }


def test_labels_of_another_recording_are_refused():
    with pytest.raises(Unusable, match="most labels past the end"):
        fit_notes(table((0.1, 0.2, 60), (3.0, 3.5, 60), (4.0, 4.5, 60)), 1.0)
    with pytest.raises(Unusable, match="no notes"):
        fit_notes(table((0.1, 0.1, 60)), 1.0)


def test_labels_without_velocity():
    # The second row ends before it starts.
    notes = labeled_notes([(0.5, 0.75, 60, 40), (0.5, 0.25, 61, 0)])
    np.testing.assert_array_equal(notes.offset_seconds, [0.75, 0.5])
    np.testing.assert_array_equal(notes.program, [40, 0])
    np.testing.assert_array_equal(notes.velocity, [100, 100])
    assert len(labeled_notes([])) == 0
    for row in [(0.0, 1.0, 128, 0), (float("nan"), 1.0, 60, 0), (-1.0, 1.0, 60, 0)]:
        with pytest.raises(MidiError):
            labeled_notes([row])


def test_tables_are_joined():
    notes = merge_notes([table((0.0, 1.0, 60)), table((0.5, 3.0, 36), is_drum=True)])
    np.testing.assert_array_equal(notes.pitch, [60, 36])
    np.testing.assert_array_equal(notes.is_drum, [False, True])
    assert notes.total_seconds == 3.0


def constant(value: float, calls: list[float]) -> np.ndarray:
    calls.append(value)
    return np.full(16_000, value, np.float32)


def test_a_stem_is_read_once_for_all_its_mixes():
    calls: list[float] = []
    stems = tuple(
        StemReader(partial(constant, value, calls), partial(table, (0.0, 0.5, pitch)))
        for value, pitch in ((0.25, 60), (0.125, 61), (0.0625, 62))
    )
    mixes = (("ab", (0, 1)), ("ac", (0, 2)), ("abc", (0, 1, 2)))
    outcome = read_group(RecordingGroup("t", stems, mixes))
    assert [recording.id for recording in outcome.recordings] == ["ab", "ac", "abc"]
    # 0.25 + 0.125 and so on, times 32768
    assert [recording.audio[0] for recording in outcome.recordings] == [12288, 10240, 14336]
    assert [list(r.notes.pitch) for r in outcome.recordings] == [[60, 61], [60, 62], [60, 61, 62]]
    assert sorted(calls) == [0.0625, 0.125, 0.25]


def test_large_groups_are_split():
    group = RecordingGroup("t", (), tuple((str(number), ()) for number in range(23)))
    limited = group.limited()
    assert [len(part.mixes) for part in limited] == [10, 10, 3]
    assert sum((part.mixes for part in limited), ()) == group.mixes


def test_unreadable_recordings_are_reported_not_raised(tmp_path):
    write_tone(tmp_path / "a.wav", 1.0)
    good = StemReader(partial(read_mono, tmp_path / "a.wav"), partial(table, (0.0, 0.5, 60)))
    missing = StemReader(partial(read_mono, tmp_path / "b.wav"), partial(table, (0.0, 0.5, 60)))
    late = StemReader(partial(read_mono, tmp_path / "a.wav"), partial(table, (7.0, 8.0, 60)))
    mixes = (("good", (0,)), ("missing", (1,)), ("both", (0, 1)), ("late", (2,)))
    outcome = read_group(RecordingGroup("t", (good, missing, late), mixes))
    assert [recording.id for recording in outcome.recordings] == ["good"]
    assert [(skip.id, skip.reason) for skip in outcome.skipped] == [
        ("missing", "no audio file"),
        ("both", "no audio file"),
        ("late", "most labels past the end of the audio"),
    ]


def test_a_full_disk_is_no_fault_of_a_recording():
    def render():
        raise OutputError("/tmp/song", "room for a rendered song", "No space left on device")

    group = RecordingGroup.single("a", StemReader(render, partial(table, (0.0, 0.5, 60))))
    with pytest.raises(OutputError, match="No space left"):
        read_group(group)


def test_audio_above_full_scale_is_scaled_down_and_said(tmp_path):
    loud = 3 * tone(1.0, rate=16_000, peak=1.0)
    soundfile.write(tmp_path / "a.wav", loud, 16_000, subtype="FLOAT")
    stem = StemReader(partial(read_pcm, tmp_path / "a.wav"), partial(table, (0.0, 0.5, 60)))
    outcome = read_group(RecordingGroup.single("a", stem))
    expected = loud * 32767 / np.abs(loud).max()
    np.testing.assert_allclose(outcome.recordings[0].audio, expected, atol=0.51)
    # 20 log10(3)
    assert outcome.remarks == [Remark("a", "louder than full scale, scaled down", 1, "by 9.5 dB")]


def test_full_scale_is_not_above_it(tmp_path):
    samples = np.array([-1.0, 0.5, 1.0], np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    audio = read_pcm(tmp_path / "a.wav")
    assert audio.dtype == np.int16
    np.testing.assert_array_equal(audio, [-32768, 16384, 32767])


def test_loud_audio_is_read_block_by_block(tmp_path):
    loud = np.linspace(-2, 2, 3_000_000)  # several blocks of about a million samples
    soundfile.write(tmp_path / "a.wav", loud, 16_000, subtype="FLOAT")
    np.testing.assert_allclose(read_pcm(tmp_path / "a.wav"), loud, atol=1e-6)


def test_a_mix_above_full_scale_is_scaled_down():
    calls: list[float] = []
    stems = tuple(
        StemReader(partial(constant, value, calls), partial(table, (0.0, 0.5, 60)))
        for value in (0.75, 0.5)
    )
    outcome = read_group(RecordingGroup("t", stems, (("both", (0, 1)), ("one", (0,)))))
    assert [recording.audio[0] for recording in outcome.recordings] == [32767, 24576]
    # 20 log10(1.25)
    text = "louder than full scale, scaled down"
    assert outcome.remarks == [Remark("both", text, 1, "by 1.9 dB")]


def silence() -> np.ndarray:
    raise Silent("silent audio")


def test_a_silent_stem_leaves_its_mixes():
    calls: list[float] = []
    stems = (
        StemReader(partial(constant, 0.25, calls), partial(table, (0.0, 0.5, 60))),
        StemReader(silence, partial(table, (0.0, 0.5, 61))),
        StemReader(partial(constant, 0.125, calls), partial(table, (0.0, 0.5, 62))),
    )
    mixes = (("all", (0, 1, 2)), ("heard", (0, 2)), ("first", (0, 1)), ("silent", (1,)))
    group = RecordingGroup("t", stems, mixes)
    outcome = read_group(group)
    assert [(r.id, r.audio[0], list(r.notes.pitch)) for r in outcome.recordings] == [
        ("all", 12288, [60, 62]),
        ("first", 8192, [60]),
    ]
    assert outcome.skipped == [
        Skip("heard", "the same as another one without its silent stems", "all"),
        Skip("silent", "silent audio"),
    ]
    assert outcome.remarks == [
        Remark("all", "silent stems left out"),
        Remark("first", "silent stems left out"),
    ]
    outcome = read_group(dataclasses.replace(group, needs_all=True))
    assert [recording.id for recording in outcome.recordings] == ["heard"]
    assert {skip.reason for skip in outcome.skipped} == {"silent audio"}
