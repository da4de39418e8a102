import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.audio.features import (
    TRANSCRIPTION,
    FrontEnd,
    check_log_mel,
    cut_segment,
    log_mel,
    mel_centers_hz,
    mel_weights,
    scale,
    segment_log_mel,
    unscale,
)
from spectrodiff.core.constants import EXTRA_FRAMES, HOP_SAMPLES, SEGMENT_FRAMES, SEGMENT_SECONDS
from spectrodiff.core.errors import AudioError


def noise(num_samples, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def assert_same_log_mel(actual, expected, quiet_tolerance):
    """Compares logarithms where there is audio, and magnitudes where there is only rounding."""
    loud = expected > -6.9
    np.testing.assert_allclose(actual[loud], expected[loud], atol=5e-3)
    np.testing.assert_allclose(np.exp(actual[~loud]), np.exp(expected[~loud]), atol=quiet_tolerance)


def test_segment_lasts_as_long_as_in_the_paper():
    assert SEGMENT_FRAMES * HOP_SAMPLES == 81_920
    assert SEGMENT_SECONDS == 5.12


def test_log_mel_is_that_of_the_released_model(golden):
    arrays = np.load(golden / "log_mel.npz")
    ours = np.asarray(log_mel(arrays["audio"]))
    assert ours.dtype == np.float32
    assert_same_log_mel(ours, arrays["log_mel"], quiet_tolerance=1e-4)


def test_mel_weights_are_those_of_the_released_model(golden):
    # The reference rounds to float32 on the way, which moves a weight by up to 2e-5.
    expected = np.load(golden / "log_mel.npz")["mel_weights"]
    np.testing.assert_allclose(mel_weights(), expected, atol=3e-5)


def test_transcription_front_end_is_that_of_mt3(golden):
    audio = np.load(golden / "log_mel.npz")["audio"]
    expected = np.load(golden / "mt3_log_mel.npz")["every_4th_frame"]
    ours = np.asarray(log_mel(audio, TRANSCRIPTION))
    assert ours.shape == (3, 268, 512)
    assert_same_log_mel(ours[:, ::4], expected, quiet_tolerance=5e-3)


def test_transcription_front_end_keeps_values_below_the_floor():
    audio = noise(4096) * 1e-7
    assert np.asarray(log_mel(audio, TRANSCRIPTION)).min() < np.log(1e-5) - 1
    silence = np.asarray(log_mel(np.zeros(4096, np.float32), TRANSCRIPTION))
    np.testing.assert_allclose(silence, np.log(1e-5), rtol=1e-6)


@pytest.mark.parametrize(("frame", "hop"), [(400, 160), (640, 320), (300, 400), (256, 256)])
def test_any_frame_and_hop_match_frames_cut_one_by_one(frame, hop):
    front_end = FrontEnd(frame_samples=frame, hop_samples=hop, fft_samples=512, num_mels=20)
    if frame > front_end.fft_samples:
        front_end = FrontEnd(frame_samples=frame, hop_samples=hop, fft_samples=1024, num_mels=20)
    audio = noise(5 * hop + 7)
    padded = np.pad(audio, (0, frame + hop))
    window = 0.5 * (1 - np.cos(2 * np.pi * np.arange(frame) / frame))
    rows = [
        np.abs(np.fft.rfft(padded[start : start + frame] * window, front_end.fft_samples))
        for start in range(0, len(audio), hop)
    ]
    expected = np.log(np.clip(np.stack(rows) @ mel_weights(front_end), 1e-5, 1e8))
    ours = np.asarray(log_mel(audio, front_end))
    assert ours.shape == (6, 20)
    np.testing.assert_allclose(ours, expected, atol=2e-4)


@pytest.mark.parametrize(
    ("num_samples", "num_frames"), [(0, 0), (1, 1), (320, 1), (321, 2), (640, 2), (81_920, 256)]
)
def test_frames_are_counted_by_started_hops(num_samples, num_frames):
    assert log_mel(noise(num_samples)).shape == (num_frames, 128)


def test_tone_peaks_in_the_band_of_its_frequency():
    band = 70
    tone = np.sin(2 * np.pi * mel_centers_hz()[band] * np.arange(16_000) / 16_000)
    assert (np.asarray(log_mel(tone)).argmax(axis=1)[:-1] == band).all()


def test_leading_axes_vmap_and_jit_agree_with_one_clip_at_a_time():
    audio = noise(4 * 3000).reshape(2, 2, 3000)
    expected = np.stack([log_mel(clip) for clip in audio.reshape(4, -1)]).reshape(2, 2, 10, 128)
    np.testing.assert_allclose(log_mel(audio), expected, atol=1e-4)
    np.testing.assert_allclose(jax.vmap(jax.vmap(log_mel))(audio), expected, atol=1e-4)
    np.testing.assert_allclose(jax.jit(log_mel)(audio), expected, atol=1e-4)


def test_int16_is_full_scale_at_32768():
    samples = np.array([-32768, 16384, 1, 0] * 400, np.int16)
    np.testing.assert_array_equal(log_mel(samples), log_mel(samples.astype(np.float32) / 32768))


def test_other_integers_are_refused():
    with pytest.raises(AudioError, match="floating point or int16 samples, got int32"):
        log_mel(np.zeros(640, np.int32))


def test_silence_has_a_finite_gradient():
    gradient = jax.grad(lambda audio: log_mel(audio).sum())(jnp.zeros(2000))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("start_frame", [0, 3, 255, 640])
def test_segment_equals_the_same_frames_of_the_recording(start_frame):
    recording = noise(1000 * HOP_SAMPLES)
    whole = np.asarray(log_mel(recording))
    samples = cut_segment(recording, start_frame, SEGMENT_FRAMES)
    assert samples.shape == ((SEGMENT_FRAMES + EXTRA_FRAMES) * HOP_SAMPLES,)
    segment = np.asarray(segment_log_mel(samples))
    np.testing.assert_array_equal(segment, whole[start_frame : start_frame + SEGMENT_FRAMES])


def test_segment_ends_unlike_audio_that_stops():
    recording = noise(300 * HOP_SAMPLES)
    stopping = np.asarray(log_mel(recording[: 256 * HOP_SAMPLES]))
    segment = np.asarray(segment_log_mel(cut_segment(recording, 0, 256)))
    assert np.abs(segment - stopping)[-1].max() > 0.1
    np.testing.assert_array_equal(segment[:-1], stopping[:-1])


def test_segment_is_silent_outside_the_recording():
    recording = np.arange(1, 1 + 30 * 320, dtype=np.int16)
    # 20 frames before the recording, its first 4 frames, and their 16 extra frames.
    early = cut_segment(recording, -20, 24)
    assert early.dtype == np.int16
    assert not early[: 20 * 320].any()
    np.testing.assert_array_equal(early[20 * 320 :], recording[: 20 * 320])
    # The last 5 frames, then silence.
    late = cut_segment(recording, 25, 10)
    np.testing.assert_array_equal(late[: 5 * 320], recording[25 * 320 :])
    assert len(late) == 26 * 320
    assert not late[5 * 320 :].any()
    assert not cut_segment(recording, -50, 10).any()
    assert not cut_segment(recording, 31, 10).any()


def test_scale_maps_the_range_of_the_paper_to_one():
    low, high = np.log(1e-5), 4.0
    values = np.array([low - 5, low, (low + high) / 2, (low + 3 * high) / 4, high, high + 5])
    np.testing.assert_allclose(scale(values), [-1, -1, 0, 0.5, 1, 1], atol=1e-6)


def test_unscale_undoes_scale():
    values = np.linspace(np.log(1e-5), 4.0, 50, dtype=np.float32)
    np.testing.assert_allclose(unscale(scale(values)), values, atol=1e-5)


@pytest.mark.parametrize(
    ("features", "got"),
    [
        (np.zeros((0, 128)), r"shape \(0, 128\)"),
        (np.zeros((4, 80)), r"shape \(4, 80\)"),
        (np.zeros((1, 4, 128)), r"shape \(1, 4, 128\)"),
        (np.pad([[np.nan]], ((2, 1), (5, 122))), "NaN or infinity in frame 2"),
    ],
)
def test_unusable_features_are_refused(features, got):
    with pytest.raises(AudioError, match=f"my song: expected .*, got {got}"):
        check_log_mel(features, "my song")
