"""Phases, vibrato, pitches and levels of synthetic tones."""

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.recipe.tones import count_cycles, draw_tones, vibrato

SAMPLES = 112 * 320


def test_cycles_are_those_of_double_precision():
    hertz = np.array([[[27.5]], [[441.3]], [[7777.7]]])
    cycles = np.asarray(count_cycles(jnp.asarray(hertz, jnp.float32), SAMPLES), np.float64)
    expected = hertz.astype(np.float32).astype(np.float64) * np.arange(SAMPLES) / 16_000
    apart = (cycles - expected + 0.5) % 1 - 0.5
    assert np.abs(apart).max() < 1e-3


def test_vibrato_deviates_by_its_depth():
    seconds = np.arange(16_000) / 16_000
    ahead = np.asarray(vibrato(jnp.array([[5.0]]), jnp.array([[0.01]]), jnp.asarray(seconds)[None]))
    relative = np.diff(ahead[0].astype(np.float64)) * 16_000
    np.testing.assert_allclose(
        relative, 0.01 * np.sin(2 * np.pi * 5 * (seconds[:-1] + 1 / 32_000)), atol=1e-3
    )


def test_tones_differ_in_pitch_and_level():
    audio = np.asarray(jax.jit(draw_tones, static_argnums=(1, 2))(jax.random.key(0), 48, SAMPLES))
    assert audio.dtype == np.int16
    peaks = np.abs(audio.astype(int)).max(axis=1)
    assert peaks.max() <= 32767
    assert 900 < peaks.min() < 5000
    spectra = np.abs(np.fft.rfft(audio * np.hanning(SAMPLES)))
    hertz = spectra.argmax(axis=1) * 16_000 / SAMPLES
    assert len(set(np.round(hertz))) > 40
    assert hertz.min() < 100
    assert hertz.max() > 1000
