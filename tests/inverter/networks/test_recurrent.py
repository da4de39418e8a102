"""The recurrent generator against exact mathematics, numpy written out, and itself in pieces."""

import functools
import itertools

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
from flax import nnx

from spectrodiff.core.errors import ConfigError
from spectrodiff.inverter import InversionStream, invert
from spectrodiff.inverter.config import SIZES
from spectrodiff.inverter.networks.generators import generate, read_heads
from spectrodiff.inverter.networks.recurrent import (
    BinLinear,
    Heads,
    RecurrentGenerator,
    State,
    analyzed,
    head_distance,
    own_advances,
    surroundings,
    to_audio,
    unrolled,
)
from spectrodiff.inverter.onnx_export import build_model
from spectrodiff.inverter.trained import RecurrentInverter
from spectrodiff.models.definition import init_params
from tests.support.inverters import random_features, random_inverter

TINY = SIZES["recurrent_tiny"]
K, W, HOP = TINY.fourier_bins, TINY.window_samples, 320


def tone(hertz, count, phase=0.4):
    return np.cos(2 * np.pi * hertz * np.arange(count * HOP) / 16_000 + phase).astype(np.float32)


def true_heads(audio):
    """Outputs of a network that knows the sound, except where a sound begins."""
    spectra = np.asarray(analyzed(jnp.asarray(audio[None]), W), np.complex128)
    before = np.pad(spectra, ((0, 0), (1, 0), (0, 0)))[:, :-1]
    products = spectra * np.conj(before * own_advances(K))
    products /= np.abs(products) + 1e-12
    fresh = np.zeros_like(products)
    parts = np.log(np.abs(spectra) + 1e-9), products.real, products.imag, fresh.real, fresh.imag
    return Heads(*(jnp.asarray(part, jnp.float32) for part in parts)), spectra


def random_heads(count, seed=0):
    rng = np.random.default_rng(seed)
    turn = rng.uniform(0, 2 * np.pi, (2, count, K))
    fresh = rng.normal(0, 0.5, (2, 2, count, K))
    parts = rng.normal(0, 2, (2, count, K)), np.cos(turn), np.sin(turn), *fresh
    return Heads(*(jnp.asarray(part, jnp.float32) for part in parts))


def test_spectra_that_make_a_sound():
    """librosa's, and the sound comes out of them again."""
    audio = np.random.default_rng(0).normal(size=12 * HOP).astype(np.float32)
    spectra = np.asarray(analyzed(jnp.asarray(audio[None]), W))
    # Window i lies around sample 320 (i + 1); librosa's phases count from a window's beginning.
    padded = np.pad(audio, (HOP, 2 * HOP))
    wanted = librosa.stft(padded, n_fft=W, hop_length=HOP, center=False).T
    np.testing.assert_allclose(spectra[0], wanted * (-1.0) ** np.arange(K), atol=1e-3)
    back = np.asarray(to_audio(State(jnp.asarray(spectra.real), jnp.asarray(spectra.imag))))[0]
    np.testing.assert_allclose(back, audio, atol=1e-4)


def test_the_recurrence_written_out():
    heads, count = random_heads(6), 6
    magnitude = np.exp(np.asarray(heads.log_magnitude, np.float64))
    advance = np.asarray(heads.advance_real) + 1j * np.asarray(heads.advance_imag, np.float64)
    fresh = np.asarray(heads.fresh_real) + 1j * np.asarray(heads.fresh_imag, np.float64)
    spectrum, wanted = np.zeros((2, K), np.complex128), []
    for frame in range(count):
        smeared = spectrum.copy()
        smeared[:, 1:] += spectrum[:, :-1] / 2
        smeared[:, :-1] += spectrum[:, 1:] / 2
        # Bin k has k / W turns a sample.
        turn = np.exp(2j * np.pi * np.arange(K) * HOP / W)
        old = smeared / (np.abs(smeared) + magnitude[:, frame]) * turn * advance[:, frame]
        new = old + fresh[:, frame]
        spectrum = magnitude[:, frame] * new / np.sqrt(np.abs(new) ** 2 + 1e-4)
        wanted.append(spectrum)
    ours = unrolled(heads)
    both = np.asarray(ours.real) + 1j * np.asarray(ours.imag)
    np.testing.assert_allclose(both, np.stack(wanted, axis=1), rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("hertz", [49.0, 440.0, 1003.7])
def test_a_tone_of_any_frequency_stays_in_tune(hertz):
    """With true magnitudes and advances, and the true phase once: the tone itself, to the end."""
    audio = tone(hertz, 100)
    heads, spectra = true_heads(audio)
    begin = 4
    state = State(
        *(jnp.asarray(part[:, begin], jnp.float32) for part in (spectra.real, spectra.imag))
    )
    ours = unrolled(Heads(*(part[:, begin + 1 :] for part in heads)), state)
    sound = np.asarray(to_audio(ours))[0]
    inside = slice(70 * HOP, 90 * HOP)
    np.testing.assert_allclose(sound[inside], audio[(begin + 1) * HOP :][inside], atol=0.02)


def test_what_sets_in_has_the_networks_phase():
    heads = random_heads(2)
    quiet_then_loud = heads.log_magnitude.at[:, 0].set(-9.0).at[:, 1].set(2.0)
    spectra = unrolled(heads._replace(log_magnitude=quiet_then_loud))
    phase = np.arctan2(np.asarray(spectra.imag), np.asarray(spectra.real))[:, 1]
    said = np.arctan2(np.asarray(heads.fresh_imag), np.asarray(heads.fresh_real))[:, 1]
    loud_enough = np.hypot(heads.fresh_real, heads.fresh_imag)[:, 1] > 0.01
    apart = np.abs(np.angle(np.exp(1j * (phase - said))))
    # What is left of the old part is e ** -11 of the new one, or twice that.
    assert apart[loud_enough].max() < 2 * np.exp(-11) / 0.01


def test_a_recurrence_goes_on_from_its_state():
    heads = random_heads(9)
    whole = unrolled(heads)
    first = unrolled(Heads(*(part[:, :4] for part in heads)))
    second = unrolled(
        Heads(*(part[:, 4:] for part in heads)), State(*(part[:, -1] for part in first))
    )
    for all_frames, early, late in zip(whole, first, second, strict=True):
        both = jnp.concatenate([early, late], axis=1)
        np.testing.assert_allclose(all_frames, both, rtol=1e-3, atol=1e-3)


def test_distance_of_heads():
    """None from the truth; known ones for wrong advances and magnitudes."""
    audio = sum(tone(hertz, 40) for hertz in (220.0, 331.0, 4000.0)) / 3
    audio = audio + np.random.default_rng(0).normal(0, 0.1, len(audio)).astype(np.float32)
    heads, _ = true_heads(audio)
    right = head_distance(heads, jnp.asarray(audio[None]))
    assert float(right.advance[0]) < 5e-3
    assert float(right.magnitude[0]) < 1e-3
    angle = 0.3
    wrong = np.exp(1j * angle) * (
        np.asarray(heads.advance_real) + 1j * np.asarray(heads.advance_imag)
    )
    turned = heads._replace(
        advance_real=jnp.asarray(wrong.real), advance_imag=jnp.asarray(wrong.imag)
    )
    turned = turned._replace(log_magnitude=heads.log_magnitude + np.log(1.5))
    distance = head_distance(turned, jnp.asarray(audio[None]))
    np.testing.assert_allclose(distance.advance, 2 * np.sin(angle / 2), rtol=1e-3)
    np.testing.assert_allclose(distance.magnitude, 0.5 + np.log(1.5), rtol=1e-3)


def test_surroundings_are_interpolated():
    features = random_features(7)
    hertz = np.array([300.0, 4000.0])
    ours = np.asarray(surroundings(jnp.asarray(features[None]), hertz))[0]
    assert ours.shape == (7, 45, 2)
    centers = np.linspace(0, librosa.hz_to_mel(8000, htk=True), 130)[1:-1]
    band = np.interp(librosa.hz_to_mel(hertz, htk=True), centers, np.arange(128))
    for frame, number, place in itertools.product((2, 4), (0, 1), range(45)):
        later, offset = place // 9 - 2, place % 9 - 4
        value = np.interp(band[number] + offset, np.arange(128), features[frame + later])
        middle = np.interp(band[number], np.arange(128), features[frame])
        wanted = 0.5 * (value - middle)
        if place == 22:  # itself
            wanted = 2 * (middle - np.log(1e-5)) / (4 - np.log(1e-5)) - 1
        np.testing.assert_allclose(ours[frame, place, number], wanted, atol=1e-4)


def test_products_at_bins():
    """Products of each bin with the sum of its own kernel and the shared one."""
    layer, rng = BinLinear(3, 4, 2, rngs=nnx.Rngs(0), dtype=jnp.float32), np.random.default_rng(0)
    own, bias, x = (rng.normal(size=shape) for shape in ((3, 4, 2), (3, 2), (3, 5, 4)))
    layer.own[...], layer.bias[...] = jnp.asarray(own), jnp.asarray(bias)
    shared = np.asarray(layer.shared[...])
    wanted = np.stack([x[k] @ (shared + own[k]) + bias[k] for k in range(3)])
    np.testing.assert_allclose(layer(jnp.asarray(x)), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", [[256, 300, 256, 88], [7, 1, 90, 802], [900]])
def test_parts_are_one_pass(sizes):
    stored, features = random_inverter("recurrent_tiny"), random_features(900)
    # Little that begins anew, or random parameters would soon forget.
    for name, values in stored.params["bins"]["third"].items():
        columns = np.array([1, 1, 1, 0.01, 0.01], np.float32)
        stored.params["bins"]["third"][name] = values * columns
    inverter = RecurrentInverter(*stored)
    whole = inverter(features)
    assert np.abs(whole).max() > 0.1
    stream, starts = InversionStream(inverter), np.cumsum([0, *sizes])
    pieces = [stream.push(features[a:b]) for a, b in itertools.pairwise(starts)]
    streamed = np.concatenate([*pieces, stream.finish()])
    np.testing.assert_allclose(streamed, whole, atol=2e-3 * np.abs(whole).max())
    np.testing.assert_allclose(
        invert(inverter, features, max_frames=100), whole, atol=2e-3 * np.abs(whole).max()
    )
    # Without the state, nothing would fit.
    naive = np.concatenate([inverter(features[:450]), inverter(features[450:])])
    assert np.abs(naive - whole)[600 * HOP :].max() > 0.1 * np.abs(whole).max()


def test_before_training_it_is_an_inverter():
    """Bins as loud as the bands, each at its own frequency, and gradients for every parameter."""
    params, features = (
        init_params(RecurrentGenerator, TINY, 0),
        jnp.asarray(random_features(20)[None]),
    )
    assert jax.eval_shape(lambda: generate(TINY, params, features)).shape == (1, 20 * HOP)
    heads = jax.jit(read_heads, static_argnums=0)(TINY, params, features)
    size = np.hypot(heads.advance_real, heads.advance_imag)
    np.testing.assert_allclose(size, 1, atol=1e-3)

    @functools.partial(jax.jit, static_argnums=1)
    def loss(params, remat):
        audio = generate(TINY, params, features, remat=remat)
        return jnp.square(audio - 0.1).sum()

    stored = random_inverter("recurrent_tiny").params
    whole, again = (jax.grad(loss)(stored, remat) for remat in (False, True))
    for ours, theirs in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True):
        assert np.abs(ours).max() > 0
        np.testing.assert_allclose(ours, theirs, rtol=1e-2, atol=1e-3 * np.abs(ours).max())


def test_a_state_does_not_fit_in_a_graph():
    with pytest.raises(ConfigError, match="a frame_rate or melgan inverter, got a recurrent one"):
        build_model(random_inverter("recurrent_tiny"))
