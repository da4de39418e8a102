"""The frame-rate generator against librosa, scipy and itself written out in numpy."""

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.ndimage

from spectrodiff.checkpoints.tree import flatten
from spectrodiff.vocoder.config import SIZES
from spectrodiff.vocoder.frame_rate import interpolation, overlap_add, turns
from spectrodiff.vocoder.generators import count_parameters, generate
from tests.vocoder.test_trained import frames, loud

TINY = SIZES["tiny"]
K, W, HOP = TINY.fourier_bins, TINY.window_samples, 320


def random_spectra(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, K)) + 1j * rng.normal(size=(count, K))


def test_overlap_add_is_librosas():
    spectra = random_spectra(12)
    # librosa's phases count from the beginning of a window: half a window is a sign from bin to
    # bin. Its frame 0 begins with its audio, ours a hop before.
    signs = (-1.0) ** np.arange(K)
    wanted = librosa.istft((spectra * signs).T, n_fft=W, hop_length=HOP, center=False)
    audio = np.asarray(overlap_add(jnp.asarray(spectra[None], jnp.complex64)))[0]
    np.testing.assert_allclose(audio, wanted[HOP : HOP + len(audio)], atol=1e-5)


def test_a_click_comes_out_where_its_frame_lies():
    """Spectra of windows around the middle of each frame of the features, 320 i to 320 i + 640."""
    audio = np.zeros(10 * HOP)
    for place in (0, 700, 1601, 3199):
        audio[place] = 1.0
    around = np.pad(audio, W)
    window = np.hanning(W + 1)[:-1]
    middles = [HOP * frame + HOP for frame in range(10)]
    cut = [window * around[W + middle - W // 2 : W + middle + W // 2] for middle in middles]
    spectra = np.array([np.fft.rfft(np.roll(piece, -W // 2)) for piece in cut])
    restored = np.asarray(overlap_add(jnp.asarray(spectra[None], jnp.complex64)))[0]
    np.testing.assert_allclose(restored, audio, atol=1e-5)


def test_phases_that_turn_along_make_a_steady_tone():
    spectra = np.zeros((40, K), np.complex64)
    bin = 37  # 462.5 Hz, between two multiples of 50 Hz
    spectra[:, bin] = np.exp(0.3j)
    turning = spectra * np.exp(1j * np.asarray(turns(TINY, 40)))
    audio = np.asarray(overlap_add(jnp.asarray(turning[None])))[0][10 * HOP : -10 * HOP]
    # Of the tone e^(i w n) the inverse transform of one bin is 2 / W, and windows w lie over each
    # other as sum(w) / sum(w ** 2): 2 to 1.5. Time counts from the middle of frame 0.
    time = np.arange(10 * HOP, 30 * HOP) - HOP
    wanted = 2 / W * 2 / 1.5 * np.cos(2 * np.pi * bin / W * time + 0.3)
    np.testing.assert_allclose(audio, wanted, atol=1e-6)
    # With phases that stay, the tone is drawn to a multiple of 50 Hz.
    still = np.asarray(overlap_add(jnp.asarray(spectra[None])))[0][10 * HOP : -10 * HOP]
    hertz = np.fft.rfftfreq(len(still), 1 / 16_000)
    assert hertz[np.abs(np.fft.rfft(still)).argmax()] == 450
    assert hertz[np.abs(np.fft.rfft(audio)).argmax()] == 462.5


def test_interpolation_is_linear_in_mel():
    weights = interpolation(TINY)
    np.testing.assert_allclose(weights.sum(axis=0), 1, rtol=1e-6)
    mel = librosa.hz_to_mel(np.arange(K) * 12.5, htk=True)
    peaks = np.linspace(0, librosa.hz_to_mel(8000, htk=True), 130)[1:-1]
    values = np.random.default_rng(0).normal(size=128)
    np.testing.assert_allclose(values @ weights, np.interp(mel, peaks, values), atol=1e-5)


def written_out(params, log_mel):
    """The generator in float64, for one example [F, 128]."""

    def norm(x, name):
        x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-6)
        return x * params[f"{name}/scale"] + params[f"{name}/shift"]

    def correlate(x, taps):  # [F, D] with [k, D]
        columns = [
            scipy.ndimage.correlate1d(column, tap, mode="constant")
            for column, tap in zip(x.T, taps.T, strict=True)
        ]
        return np.stack(columns, axis=1)

    scaled = 2 * (log_mel.astype(np.float64) - np.log(1e-5)) / (4 - np.log(1e-5)) - 1
    kernel = params["input/kernel"].reshape(7, 128, -1)
    padded = np.pad(scaled, ((3, 3), (0, 0)))
    x = sum(padded[k : k + len(scaled)] @ kernel[k] for k in range(7)) + params["input/bias"]
    x = norm(x, "input_norm")
    for number in range(TINY.layers):
        layer = {n: params[f"layers/{n}"][number] for n in ("taps", "bias", "scale")}
        y = correlate(x, layer["taps"]) + layer["bias"]
        y = (y - y.mean(axis=1, keepdims=True)) / np.sqrt(y.var(axis=1, keepdims=True) + 1e-6)
        y = y * params["layers/norm/scale"][number] + params["layers/norm/shift"][number]
        y = y @ params["layers/up/kernel"][number] + params["layers/up/bias"][number]
        y = 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
        y = y @ params["layers/down/kernel"][number] + params["layers/down/bias"][number]
        x = x + layer["scale"] * y
    output = norm(x, "norm") @ params["output/kernel"] + params["output/bias"]
    bands = log_mel @ interpolation(TINY)
    first, second, first_phase, second_phase = np.split(output, 4, axis=1)
    # Bin k turns k / W times a sample.
    turned = 2 * np.pi * np.outer(np.arange(len(log_mel)), np.arange(K)) * HOP / W
    spectra = np.exp(first + bands + 1j * first_phase)
    spectra += np.exp(second + bands + 1j * (second_phase + turned))
    signs = (-1.0) ** np.arange(K)
    audio = librosa.istft((spectra * signs).T, n_fft=W, hop_length=HOP, center=False)
    return audio[HOP : HOP + len(log_mel) * HOP]


def test_the_generator_written_out():
    stored, features = loud("tiny"), frames(20)
    audio = np.asarray(generate(*stored, jnp.asarray(features[None])))[0]
    wanted = written_out(flatten(stored.params), features)
    np.testing.assert_allclose(audio, wanted, atol=2e-4 * np.abs(wanted).max())


@pytest.mark.parametrize(("size", "millions"), [("frame_rate", 4.07), ("melgan", 14.57)])
def test_sizes(size, millions):
    assert count_parameters(SIZES[size]) / 1e6 == pytest.approx(millions, abs=0.01)


def test_products_in_sixteen_bits():
    stored, features = loud("tiny"), jnp.asarray(frames(20)[None])
    exact, rough = (
        np.asarray(generate(*stored, features, dtype)) for dtype in (jnp.float32, jnp.bfloat16)
    )
    assert rough.dtype == np.float32
    # Of 8 bits, half a percent is rounding; phases of a few radians turn it into some percent.
    error = np.abs(rough - exact).mean() / np.abs(exact).mean()
    assert 1e-4 < error < 0.05


@pytest.mark.parametrize("kind", ["tiny", "melgan_tiny"])
def test_gradients_recomputed_or_not(kind):
    """Of the sum of the audio times fixed numbers, along a random direction: as differences say."""
    stored = loud(kind)
    features = jnp.asarray(frames(6)[None])
    weights = np.random.default_rng(1).normal(size=(1, 6 * HOP)).astype(np.float32)

    def value(params, remat):
        return (generate(stored.config, params, features, remat=remat) * weights).sum()

    kept, again = (jax.jit(jax.grad(value), static_argnums=1)(stored.params, r) for r in (0, 1))
    rng = np.random.default_rng(2)
    direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), stored.params)
    slopes = []
    for gradient in (kept, again):
        products = jax.tree.map(lambda a, b: np.vdot(a, b), gradient, direction)
        slopes.append(sum(jax.tree.leaves(products)))
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-4)
    step = 1e-3

    def moved(by):
        return jax.tree.map(lambda p, d: (p + by * d).astype(np.float32), stored.params, direction)

    ahead, behind = (float(value(moved(by), 0)) for by in (step, -step))
    assert slopes[0] == pytest.approx((ahead - behind) / (2 * step), rel=0.02)
