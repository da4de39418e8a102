"""Distances against librosa's transform, and the adversarial losses against hand-worked numbers."""

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.ndimage

from spectrodiff.audio.features import FrontEnd, mel_weights
from spectrodiff.core.constants import MIN_LOG_MEL
from spectrodiff.inverter import losses
from spectrodiff.inverter.adversarial import (
    adversarial_losses,
    collapsed,
    feature_distance,
    hinge,
    init_discriminators,
)
from spectrodiff.inverter.disturbances import disturb, smooth
from spectrodiff.inverter.losses import SCALES, magnitudes
from spectrodiff.inverter.networks.discriminators import DiscriminatorsConfig, Judgment

# One program each instead of one for every operation.
multi_scale_distance = jax.jit(losses.multi_scale_distance)
_advance_distance = jax.jit(losses.advance_distance, static_argnums=2)


def advance_distance(audio, target, windows):
    return _advance_distance(audio, target, tuple(windows))


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)


def librosa_magnitudes(audio, window):
    weights = np.hanning(window + 1)[:-1]
    spectrum = librosa.stft(audio, n_fft=window, hop_length=window // 4, center=False)
    return np.abs(spectrum).T / np.sqrt(np.square(weights).sum())


@pytest.mark.parametrize("window", [2048, 128])
def test_magnitudes_are_librosas(window):
    audio = noise(1, 5000)
    ours = np.asarray(magnitudes(jnp.asarray(audio), window))[0]
    np.testing.assert_allclose(ours, librosa_magnitudes(audio[0], window), atol=1e-5)
    # Of white noise: the mean square is the variance, at all but the two real bins.
    assert np.square(ours[:, 1:-1]).mean() == pytest.approx(0.01, rel=0.15)


def test_distance_written_out():
    ours, target = noise(2, 6000), noise(2, 6000, seed=1)
    target[1, 3000:] = 0.0  # silence, where the floor decides
    distance = multi_scale_distance(jnp.asarray(ours), jnp.asarray(target))
    for row in range(2):
        spectral, mel_l1 = [], []
        for window, mels in SCALES.items():
            a, b = (librosa_magnitudes(x[row], window) for x in (ours, target))
            log_a, log_b = (np.log(np.maximum(x, 1e-4)) for x in (a, b))
            relative = np.abs(a - b).sum() / (b.sum() + 1e-4 * b.size)
            spectral.append(relative + np.abs(log_a - log_b).mean())
            bands = mel_weights(FrontEnd(fft_samples=window, num_mels=mels))
            mel_a, mel_b = (np.log(np.maximum(x @ bands, 1e-4)) for x in (a, b))
            mel_l1.append(np.abs(mel_a - mel_b).mean())
        # In float32 silence is not quite silent.
        np.testing.assert_allclose(distance.spectral[row], np.mean(spectral), rtol=1e-3)
        np.testing.assert_allclose(distance.mel_l1[row], np.mean(mel_l1), rtol=1e-3)


def test_distance_to_itself_is_nothing_and_its_gradient_is_finite():
    audio = jnp.asarray(noise(1, 4096)).at[:, 2000:].set(0.0)
    distance = multi_scale_distance(audio, audio)
    assert float(distance.spectral[0]) == float(distance.mel_l1[0]) == 0.0
    total = jax.jit(lambda x: sum(d.sum() for d in losses.multi_scale_distance(x, audio)))
    gradient = jax.grad(total)(0 * audio)
    assert np.isfinite(gradient).all()


def test_hinge_by_hand():
    recorded, inverted = jnp.array([2.0, 0.5]), jnp.array([-3.0, 1.0])
    # max(0, 1 - 2) = 0 and 0.5; max(0, 1 - 3) = 0 and 2.
    assert float(hinge(recorded, inverted)) == 0.25 + 1.0


def test_feature_distance_by_hand():
    ours = Judgment(jnp.zeros(1), [jnp.array([1.0, 3.0]), jnp.array([0.0])])
    theirs = Judgment(jnp.zeros(1), [jnp.array([2.0, -2.0]), jnp.array([4.0])])
    # Layer 1: differences 1 and 5, sizes 2 and 2: 3 / 2. Layer 2: 4 / 4.
    np.testing.assert_allclose(feature_distance(ours, theirs), (1.5 + 1.0) / 2, rtol=1e-5)


CONFIG = DiscriminatorsConfig((512,), (2,), 2, 2)


def test_each_network_has_the_gradient_of_its_own_loss():
    params = init_discriminators(CONFIG, 0)
    ours, theirs = jnp.asarray(noise(2, 2048)), jnp.asarray(noise(2, 2048, seed=1))

    @jax.jit
    def gradients(params, ours):
        def of(part):
            loss = lambda params, ours: part(adversarial_losses(CONFIG, params, ours, theirs))  # noqa: E731
            return jax.grad(loss, argnums=(0, 1))(params, ours)

        return [
            of(lambda losses: losses.adversarial),
            of(lambda losses: losses.feature_match),
            of(lambda losses: losses.discriminators["discriminator_stft_512"]),
        ]

    adversarial, features, judge = gradients(params, ours)
    for to_params, to_audio in (adversarial, features):
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(to_params))
        assert np.abs(to_audio).max() > 0
    to_params, to_audio = judge
    assert not np.any(to_audio)
    assert any(np.any(leaf) for leaf in jax.tree.leaves(to_params["stft_512"]))
    # It does not depend on the other discriminator.
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(to_params["wave_2"]))


def test_identical_sounds_have_identical_features():
    params, audio = init_discriminators(CONFIG, 0), jnp.asarray(noise(1, 2048))
    losses = jax.jit(lambda a: adversarial_losses(CONFIG, params, a, a))(audio)
    assert float(losses.feature_match) == 0.0
    # Scores s and s: mean max(0, 1 - s) + mean max(0, 1 + s) is at least 2.
    assert all(float(loss) >= 2.0 - 1e-6 for loss in losses.discriminators.values())


def test_collapsed_discriminators_are_named():
    values = {"loss": 0.0, "discriminator_stft_512": 0.001, "discriminator_wave_2": 1.9}
    assert collapsed(values) == ["discriminator_stft_512"]


def test_smoothing_is_scipys():
    x = noise(2, 9, 12)
    for axis in (1, 2):
        wanted = scipy.ndimage.convolve1d(x, [0.25, 0.5, 0.25], axis=axis, mode="nearest")
        np.testing.assert_allclose(smooth(jnp.asarray(x), axis), wanted, atol=1e-6)


def test_disturbances():
    features = jnp.asarray(np.random.default_rng(0).uniform(-9, 1, (400, 16, 128)), jnp.float32)
    key = jax.random.key(0)
    same = disturb(features, key, share=0.0, noise=1.0, blur=1.0)
    np.testing.assert_array_equal(same, features)
    noisy = disturb(features, key, share=0.25, noise=0.4, blur=0.0) - features
    deviation = np.asarray(noisy).std(axis=(1, 2))
    chosen = deviation > 0
    assert chosen.mean() == pytest.approx(0.25, abs=0.08)
    # Uniform up to 0.4.
    assert deviation[chosen].mean() == pytest.approx(0.2, abs=0.04)
    assert deviation.max() <= 0.41
    blurred = disturb(features, key, share=1.0, noise=0.0, blur=1.0)
    wanted = scipy.ndimage.convolve1d(
        scipy.ndimage.convolve1d(features, [0.25, 0.5, 0.25], axis=1, mode="nearest"),
        [0.25, 0.5, 0.25],
        axis=2,
        mode="nearest",
    )
    # Every example lies on the way to the smoothed one.
    way = np.asarray(blurred - features) / (wanted - np.asarray(features))
    amounts = np.median(way, axis=(1, 2))
    np.testing.assert_allclose(
        blurred, features + amounts[:, None, None] * (wanted - features), atol=1e-4
    )
    assert 0.4 < amounts.mean() < 0.6
    quiet = disturb(jnp.full((4, 8, 128), MIN_LOG_MEL), key, share=1.0, noise=1.0, blur=0.0)
    assert float(quiet.min()) == pytest.approx(MIN_LOG_MEL)


def test_advances_of_tones_do_not_depend_on_phases():
    """Two tones a bin apart: their spectra are (1/2, 1, 1/2), a bin further on, and they advance by
    angles a quarter turn apart. So |D - D'| is 1/2, root 5/4, root 5/4, 1/2, to a |D'| of 2."""
    seconds = np.arange(16_000) / 16_000
    bin_hz = 16_000 / 1024
    tones = [
        np.cos(2 * np.pi * number * bin_hz * seconds + phase)
        for number, phase in ((100, 0.0), (100, 2.0), (101, 1.0))
    ]
    audio = jnp.asarray(np.stack(tones), jnp.float32)
    target = jnp.asarray(np.stack(tones[:1] * 3), jnp.float32)
    found = np.asarray(advance_distance(audio, target, [1024]))
    # What is not quite silent counts a little.
    np.testing.assert_allclose(found[:2], 0, atol=5e-3)
    np.testing.assert_allclose(found[2], (1 + np.sqrt(5)) / 2, rtol=1e-2)


def test_the_further_out_of_tune_the_further_away():
    """Smoothly, and in longer windows sooner."""
    seconds = np.arange(32_000) / 16_000
    hertz = np.array([440.25, 440.5, 441, 442, 444])[:, np.newaxis]
    audio = jnp.asarray(np.cos(2 * np.pi * hertz * seconds), jnp.float32)
    target = jnp.asarray(np.cos(2 * np.pi * 440 * np.stack([seconds] * 5)), jnp.float32)
    short, long = (np.asarray(advance_distance(audio, target, [w])) for w in (512, 4096))
    for found in (short, long):
        assert (np.diff(found) > 0).all()
    # As long as little is wrong, twice as much is twice as far.
    np.testing.assert_allclose(short[1:4] / short[:3], 2, rtol=0.05)
    assert (long[:3] > 4 * short[:3]).all()
