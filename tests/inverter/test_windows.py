import itertools

import numpy as np
import pytest

from spectrodiff.audio.features import log_mel
from spectrodiff.core.errors import AudioError
from spectrodiff.inverter import (
    GriffinLim,
    InversionStream,
    Inverter,
    OnnxInverter,
    SongInversion,
    invert,
)


class Smear(Inverter):
    """Adds up neighboring frames with known weights; beyond the ends there is nothing."""

    name = "smear"
    weights = (0.5, -1.0, 2.0, 0.25, -0.75)  # for the frames 2 before to 2 after
    reach_frames = 2

    def __init__(self):
        self.lengths = []

    def __call__(self, log_mel):
        self.lengths.append(len(log_mel))
        padded = np.pad(log_mel.sum(axis=1, dtype=np.float64), 2)
        summed = np.correlate(padded, self.weights, mode="valid")
        return (summed[:, np.newaxis] + np.arange(320) / 320).reshape(-1).astype(np.float32)


def frames(count, seed=0):
    return np.random.default_rng(seed).uniform(-8, 0, (count, 128)).astype(np.float32)


def music(seconds):
    """Four chords with decaying partials: nothing in them jumps but the attacks."""
    time = np.arange(seconds * 16_000) / 16_000
    chord = np.floor(time / 1.3)
    partials = [
        np.sin(2 * np.pi * np.cumsum(root * 2 ** (chord % 4 / 6)) * harmonic / 16_000) / harmonic
        for root in (130.8, 164.8, 196.0)
        for harmonic in (1, 2, 3, 4)
    ]
    return 0.1 * sum(partials) * np.exp(-(time % 1.3))


def stream(inverter, features, sizes):
    inversion = InversionStream(inverter)
    starts = np.cumsum([0, *sizes])
    pieces = [inversion.push(features[a:b]) for a, b in itertools.pairwise(starts)]
    return [*pieces, inversion.finish()]


def test_smear_is_what_the_weights_say():
    # Frame 1 of 3 has no second neighbor on either side: -1 * f[0] + 2 * f[1] + 0.25 * f[2].
    features = frames(3)
    f = features.sum(axis=1)
    np.testing.assert_allclose(Smear()(features)[320], -f[0] + 2 * f[1] + 0.25 * f[2], rtol=1e-5)


@pytest.mark.parametrize(
    "sizes", [[256, 256, 88], [1] * 20, [2, 1, 3, 40], [3], [600], [1, 500], [5, 2, 2, 2]]
)
def test_streamed_audio_is_that_of_one_pass(sizes):
    features = frames(sum(sizes))
    streamed = np.concatenate(stream(Smear(), features, sizes))
    assert streamed.dtype == np.float32
    assert len(streamed) == sum(sizes) * 320
    np.testing.assert_allclose(streamed, Smear()(features), rtol=1e-5)


@pytest.mark.parametrize(
    "sizes", [[30], [7, 23], [1] * 30, [12, 12, 6], [40, 1], [3], [12], [5, 7], [13]]
)
def test_windows_of_a_song_do_not_depend_on_how_its_frames_arrive(sizes):
    """Windows of 12 frames, 4 of which are reach: 8 are new in each."""
    arriving, whole, features = Smear(), Smear(), frames(sum(sizes))
    inversion = SongInversion(arriving, sum(sizes), max_frames=12)
    for start, until in itertools.pairwise(np.cumsum([0, *sizes])):
        inversion.push(features[start:until])
        # Complete windows are inverted at once, unless one pass is enough for the song.
        expected = 0 if sum(sizes) <= 12 else until // 8
        assert len(arriving.lengths) == expected
    np.testing.assert_array_equal(inversion.finish(), invert(whole, features, 12))
    assert arriving.lengths == whole.lengths
    assert (arriving.lengths == [sum(sizes)]) == (sum(sizes) <= 12)


def test_stream_holds_back_the_context_and_no_more():
    pieces = stream(Smear(), frames(12), [1, 1, 1, 4, 5])
    # 1 frame: none ready. 2: none. 3: the first. 7: five. 12: ten. The end: the last two.
    assert [len(piece) // 320 for piece in pieces] == [0, 0, 1, 4, 5, 2]


def test_stream_inverts_few_frames_twice():
    inverter = Smear()
    stream(inverter, frames(400), [100] * 4)
    # Two frames held back, two before them, and the hundred new ones.
    assert inverter.lengths == [100, 104, 104, 104, 4]


def test_stream_without_frames_is_empty():
    inversion = InversionStream(Smear())
    assert len(inversion.finish()) == 0


def test_stream_refuses_bad_frames():
    inversion = InversionStream(Smear())
    with pytest.raises(AudioError, match="NaN or infinity in frame 1"):
        inversion.push(np.array([[0.0] * 128, [np.nan] * 128]))
    with pytest.raises(AudioError, match=r"shape \(3, 64\)"):
        inversion.push(np.zeros((3, 64)))


@pytest.mark.parametrize("max_frames", [1, 4, 5, 6, 50, 299, 300])
def test_long_spectrogram_is_inverted_in_pieces(max_frames):
    inverter, features = Smear(), frames(300)
    audio = invert(inverter, features, max_frames=max_frames)
    np.testing.assert_allclose(audio, Smear()(features), rtol=1e-5)
    # 4 is the context of both sides, which any piece needs besides its own frames.
    assert max(inverter.lengths) <= max(max_frames, 5)


def test_invert_refuses_an_empty_spectrogram():
    with pytest.raises(AudioError, match=r"shape \(0, 128\)"):
        invert(Smear(), np.zeros((0, 128)))


def test_onnx_stream_is_one_pass_and_naive_joins_are_not(golden):
    inverter = OnnxInverter(golden / "checkpoints/diffusers/melgan/model.onnx")
    features = frames(700)
    whole = inverter(features)
    segments = [features[start : start + 256] for start in range(0, 700, 256)]
    naive = np.concatenate([inverter(segment) for segment in segments])
    assert np.abs(naive - whole).max() > 1e-2
    streamed = np.concatenate(stream(inverter, features, [256, 256, 188]))
    np.testing.assert_allclose(streamed, whole, atol=1e-4)
    np.testing.assert_allclose(invert(inverter, features, max_frames=100), whole, atol=1e-4)


@pytest.mark.parametrize("iterations", [8, 64])
def test_griffin_lim_stream_is_one_pass(iterations):
    inverter = GriffinLim(iterations=iterations)
    features = np.asarray(log_mel(music(6)))
    whole = inverter(features)
    streamed = np.concatenate(stream(inverter, features, [100, 100, 100]))
    np.testing.assert_allclose(streamed, whole, atol=1e-4)
    np.testing.assert_allclose(invert(inverter, features, max_frames=150), whole, atol=1e-4)


def test_griffin_lim_joins_do_not_click():
    inverter = GriffinLim()
    features = np.asarray(log_mel(music(6)))
    pieces = stream(inverter, features, [100, 100, 100])
    audio = np.concatenate(pieces)
    joins = np.cumsum([len(piece) for piece in pieces])[:-1]
    # A click is a bend far sharper than the sound around it.
    bend = np.abs(np.diff(audio, 2))
    for join in joins:
        at_join = bend[join - 3 : join + 2].max()
        nearby = bend[join - 800 : join + 800].max()
        assert at_join <= 0.9 * nearby
    naive = np.concatenate([inverter(features[start : start + 100]) for start in (0, 100, 200)])
    assert np.abs(naive - inverter(features)).max() > 0.02
