"""The frame-rate generator against librosa, scipy and itself written out in numpy."""

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.ndimage

from spectrodiff.checkpoints.tree import flatten
from spectrodiff.inverter.config import SIZES
from spectrodiff.inverter.networks.frame_rate import (
    interpolation,
    inverse_fourier,
    overlap_add,
    polar,
    source_hz,
)
from spectrodiff.inverter.networks.generators import count_parameters, generate
from spectrodiff.inverter.networks.oscillators import frequencies_hz, phases, waves
from tests.support.inverters import generate_compiled, random_features, random_inverter

TINY = SIZES["tiny"]
K, W, HOP = TINY.fourier_bins, TINY.window_samples, 320


def random_spectra(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, K)) + 1j * rng.normal(size=(count, K))


def to_sound(spectra):
    windows = inverse_fourier(jnp.asarray(spectra[None], jnp.complex64))
    return np.asarray(overlap_add(windows))[0]


def test_overlap_add_is_librosas():
    spectra = random_spectra(12)
    # librosa's phases count from the beginning of a window: half a window is a sign from bin to
    # bin. Its frame 0 begins with its audio, ours a hop before.
    signs = (-1.0) ** np.arange(K)
    wanted = librosa.istft((spectra * signs).T, n_fft=W, hop_length=HOP, center=False)
    audio = to_sound(spectra)
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
    np.testing.assert_allclose(to_sound(spectra), audio, atol=1e-5)


def test_derivatives_of_polar():
    """d exp(a + ib) = exp(a + ib) (da + i db); magnitudes stop at exp(8), and so does da."""
    a, b = np.array([0.3, -2.0, 8.5], np.float32), np.array([0.5, 2.0, -1.0], np.float32)
    da, db = np.array([0.7, -0.2, 1.0], np.float32), np.array([1.5, 0.4, 2.0], np.float32)
    value = np.exp(np.minimum(a, 8) + 1j * b)
    a, b, da, db = map(jnp.asarray, (a, b, da, db))
    (real, imag), (d_real, d_imag) = jax.jvp(polar, (a, b), (da, db))
    np.testing.assert_allclose(real + 1j * imag, value, rtol=1e-5)
    np.testing.assert_allclose(
        d_real + 1j * d_imag, value * (np.where(a < 8, da, 0) + 1j * db), rtol=1e-5
    )
    # Reverse mode: the gradient of Re(conj(w) z) is Re(conj(w) z) by a and Re(conj(w) i z) by b.
    weights = np.array([1 + 2j, 0.5 - 1j, -1 + 1j])
    by_a, by_b = jax.vjp(polar, a, b)[1](
        (jnp.asarray(weights.real, jnp.float32), jnp.asarray(weights.imag, jnp.float32))
    )
    expected = np.conj(weights) * value
    np.testing.assert_allclose(by_a, np.where(a < 8, expected.real, 0), rtol=1e-5)
    np.testing.assert_allclose(by_b, -expected.imag, rtol=1e-5)


def test_phases_that_stay_make_multiples_of_the_frame_rate():
    """Why there are oscillators."""
    spectra = np.zeros((40, K), np.complex64)
    spectra[:, 37] = 1  # 462.5 Hz
    sound = to_sound(spectra)[10 * HOP : -10 * HOP]
    hertz = np.fft.rfftfreq(len(sound), 1 / 16_000)
    assert hertz[np.abs(np.fft.rfft(sound)).argmax()] == 450


@pytest.mark.parametrize("number", [0, 90, 300, -1])
def test_an_oscillator_makes_a_steady_tone(number):
    hertz = frequencies_hz(W)[0][[number]]
    amplitude = np.exp(1j * (0.3 + phases(hertz, 40).astype(np.float64)))
    windows = np.concatenate([amplitude.real, amplitude.imag], axis=1) @ waves(hertz, W)
    sound = np.asarray(overlap_add(jnp.asarray(windows[None])))[0][10 * HOP : -10 * HOP]
    # Of the tone e^(i w n) the inverse transform of one bin is 2 / W, and windows w lie over each
    # other as sum(w) / sum(w ** 2): 2 to 1.5. Time counts from the middle of frame 0.
    seconds = (np.arange(10 * HOP, 30 * HOP) - HOP) / 16_000
    wanted = 2 / W * 2 / 1.5 * np.cos(2 * np.pi * hertz * seconds + 0.3)
    # Only a bin's windows add up to exactly that.
    np.testing.assert_allclose(sound, wanted, atol=2e-3 * wanted.max())


def test_oscillators_at_bins_are_bins():
    spectra = np.zeros((40, K), np.complex64)
    bin = 400
    spectra[:, bin] = np.exp(1j * phases(np.array([5000.0]), 40)[:, 0])
    sound = to_sound(spectra)[10 * HOP : -10 * HOP]
    seconds = (np.arange(10 * HOP, 30 * HOP) - HOP) / 16_000
    wanted = 2 / W * 2 / 1.5 * np.cos(2 * np.pi * 5000 * seconds)
    np.testing.assert_allclose(sound, wanted, atol=1e-6)
    one = waves(np.array([5000.0]), W)
    both = np.fft.fftshift(np.fft.irfft(np.eye(K)[bin] * np.array([[1], [1j]]), W), axes=1)
    np.testing.assert_allclose(one, both, atol=1e-6)


def test_every_tone_has_an_oscillator_close_by():
    low, high = frequencies_hz(W)
    every = np.concatenate([low, high])
    assert every[0] == 25
    assert every[-1] == 8000
    assert (np.diff(every) > 0).all()
    # All repeat after 64 frames of 20 ms.
    np.testing.assert_array_equal(every * 64 / 50 % 1, 0)
    np.testing.assert_array_equal(high % 12.5, 0)
    # Keys of the piano from 112 Hz on, where 12 cents are 50 / 64 Hz, and below.
    for key in range(28, 109):
        tone = librosa.midi_to_hz(key)
        nearest = every[np.abs(every - tone).argmin()]
        off = 1200 * abs(np.log2(nearest / tone))
        allowed = 7.5 if tone > 112 else 1200 * np.log2(1 + 50 / 64 / 2 / tone)
        assert off <= allowed, (key, off)


def test_interpolation_is_linear_in_mel():
    hertz = source_hz(TINY).all
    weights = interpolation(hertz)
    np.testing.assert_allclose(weights.sum(axis=0), 1, rtol=1e-6)
    peaks = np.linspace(0, librosa.hz_to_mel(8000, htk=True), 130)[1:-1]
    values = np.random.default_rng(0).normal(size=128)
    wanted = np.interp(librosa.hz_to_mel(hertz, htk=True), peaks, values)
    np.testing.assert_allclose(values @ weights, wanted, atol=1e-5)


def written_out(params, log_mel, start=0):
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
    hertz = source_hz(TINY)
    magnitudes, phases = np.split(output, 2, axis=1)
    magnitudes = np.exp(magnitudes + log_mel @ interpolation(hertz.all))
    # Tones turn by their frequency, counted from where the first frame was said to be.
    seconds = (start + np.arange(len(log_mel))) * HOP / 16_000
    still = np.zeros((len(log_mel), K))
    tones = 2 * np.pi * np.outer(seconds, np.concatenate([hertz.low, hertz.high]))
    sources = magnitudes * np.exp(1j * (phases + np.concatenate([still, tones], axis=1)))
    spectra, low, high = np.split(sources, [K, K + len(hertz.low)], axis=1)
    spectra[:, hertz.spectrum >= hertz.high[0]] += high
    signs = (-1.0) ** np.arange(K)
    audio = librosa.istft((spectra * signs).T, n_fft=W, hop_length=HOP, center=False)
    # Tones between bins, sample by sample: windows around the middles of frames, over each other.
    window = np.hanning(W + 1)[:-1]
    added, weight = np.zeros(len(audio)), np.zeros(len(audio))
    for number, row in enumerate(low):
        offsets = (np.arange(W) - W // 2) / 16_000
        wave = (row @ np.exp(2j * np.pi * np.outer(hertz.low, offsets))).real * 2 / W
        added[number * HOP : number * HOP + W] += window * wave
        weight[number * HOP : number * HOP + W] += window**2
    audio += added / np.maximum(weight, 1e-9)
    return audio[HOP : HOP + len(log_mel) * HOP]


def test_the_generator_written_out():
    stored, features = random_inverter("tiny"), random_features(20)
    flat = flatten(stored.params)
    both = jnp.asarray(np.stack([features] * 2))
    audio = np.asarray(generate_compiled(*stored, both, start=jnp.array([0, 75])))
    for start, ours in zip((0, 75), audio, strict=True):
        wanted = written_out(flat, features, start)
        np.testing.assert_allclose(ours, wanted, atol=2e-4 * np.abs(wanted).max())
    alone = np.asarray(generate_compiled(*stored, both[:1]))[0]
    np.testing.assert_allclose(alone, audio[0], atol=1e-5 * np.abs(audio).max())


@pytest.mark.parametrize(("size", "millions"), [("frame_rate", 4.26), ("melgan", 14.57)])
def test_sizes(size, millions):
    assert count_parameters(SIZES[size]) / 1e6 == pytest.approx(millions, abs=0.01)


def test_products_in_sixteen_bits():
    stored, features = random_inverter("tiny"), jnp.asarray(random_features(20)[None])
    exact, rough = (
        np.asarray(generate_compiled(*stored, features, dtype))
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    assert rough.dtype == np.float32
    # Of 8 bits, half a percent is rounding; phases of a few radians turn it into some percent.
    error = np.abs(rough - exact).mean() / np.abs(exact).mean()
    assert 1e-4 < error < 0.05


@pytest.mark.parametrize("kind", ["tiny", "melgan_tiny"])
def test_gradients_recomputed_or_not(kind):
    """Gradients of a weighted sum of the audio along a random direction equal differences of it."""
    stored = random_inverter(kind)
    features = jnp.asarray(random_features(6)[None])
    weights = np.random.default_rng(1).normal(size=(1, 6 * HOP)).astype(np.float32)

    def value(params, remat):
        return (generate(stored.config, params, features, remat=remat) * weights).sum()

    gradient = jax.jit(jax.grad(value), static_argnums=1)
    kept, again = (gradient(stored.params, remat) for remat in (False, True))
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

    evaluate = jax.jit(value, static_argnums=1)
    ahead, behind = (float(evaluate(moved(by), False)) for by in (step, -step))
    assert slopes[0] == pytest.approx((ahead - behind) / (2 * step), rel=0.02)
