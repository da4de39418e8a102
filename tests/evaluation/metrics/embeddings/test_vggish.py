"""VGGish against the same network written with scipy, on random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from spectrodiff.evaluation.metrics.embeddings import vggish
from spectrodiff.evaluation.metrics.embeddings.embedding import embed
from spectrodiff.evaluation.metrics.embeddings.vggish import VggishEmbedding
from spectrodiff.models.definition import define
from spectrodiff.models.vggish import FRONT_END, Vggish, VggishConfig, count_patches, patches
from tests.support.vggish import SMALL, random_weights


def noise(num_samples, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def mel_matrix():
    """[257, 64]: triangles on the HTK mel scale from 125 to 7500 Hz, written point by point."""

    def mel(hz):
        return 2595 * np.log10(1 + hz / 700)

    edges = [mel(125) + (mel(7500) - mel(125)) * i / 65 for i in range(66)]
    matrix = np.zeros((257, 64))
    for row in range(257):
        here = mel(row * 8000 / 256)
        for band in range(64):
            low, peak, high = edges[band : band + 3]
            if low < here <= peak:
                matrix[row, band] = (here - low) / (peak - low)
            elif peak < here < high:
                matrix[row, band] = (high - here) / (high - peak)
    return matrix


def reference_patches(audio):
    """Patches of 0.96 s: 96 frames of 25 ms with a hop of 10 ms, cut one by one."""
    window = scipy.signal.get_window("hann", 400, fftbins=True)
    frames = [
        np.abs(np.fft.rfft(audio[start : start + 400] * window, 512))
        for start in range(0, len(audio) - 399, 160)
    ]
    features = np.log(np.stack(frames) @ mel_matrix() + 0.01)
    return features[: len(features) // 96 * 96].reshape(-1, 96, 64)


def reference_network(weights, patch):
    def convolve(x, name):  # [height, width, in] -> [height, width, out]
        kernel, bias = weights[name]["kernel"], weights[name]["bias"]
        padded = np.pad(x, [(1, 1), (1, 1), (0, 0)])
        maps = [
            scipy.signal.correlate(padded, kernel[..., out].astype(np.float64), mode="valid")
            for out in range(kernel.shape[-1])
        ]
        return np.maximum(np.concatenate(maps, axis=2) + bias, 0)

    def pool(x):
        return np.maximum(
            np.maximum(x[::2, ::2], x[1::2, ::2]), np.maximum(x[::2, 1::2], x[1::2, 1::2])
        )

    x = pool(convolve(patch[..., np.newaxis], "conv1"))
    x = pool(convolve(x, "conv2"))
    x = pool(convolve(convolve(x, "conv3_1"), "conv3_2"))
    x = pool(convolve(convolve(x, "conv4_1"), "conv4_2"))
    x = x.ravel()
    for name in ("fc1_1", "fc1_2"):
        x = np.maximum(x @ weights[name]["kernel"] + weights[name]["bias"], 0)
    return x @ weights["fc2"]["kernel"] + weights["fc2"]["bias"]


def test_front_end():
    audio = noise(2 * 15_360 + 240)
    ours = np.asarray(jax.jit(patches)(audio))
    assert ours.shape == (2, 96, 64)
    np.testing.assert_allclose(ours, reference_patches(audio), atol=2e-4)
    assert FRONT_END.num_mels == 64


def test_silence_is_the_logarithm_of_the_offset():
    np.testing.assert_allclose(patches(jnp.zeros(15_600)), np.log(0.01), rtol=1e-6)


@pytest.mark.parametrize(
    ("num_samples", "count"),
    # 96 frames of 160 samples, the last of which is 400 long.
    [(0, 0), (15_599, 0), (15_600, 1), (16_000, 1), (30_959, 1), (30_960, 2), (48_000, 3)],
)
def test_whole_patches_count(num_samples, count):
    assert count_patches(num_samples) == count


@pytest.mark.parametrize("seconds", [1, 3])
def test_embedding_against_scipy(seconds):
    weights = random_weights()
    audio = noise(16_000 * seconds) * np.linspace(0, 1, 16_000 * seconds, dtype=np.float32)
    ours = embed(VggishEmbedding(SMALL, weights), audio, "song")
    expected = np.stack([reference_network(weights, patch) for patch in reference_patches(audio)])
    assert ours.shape == (seconds, 10)
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    assert ours.min() < 0  # no ReLU at the end
    assert ours.std(axis=0).max() > 0.01 or seconds == 1


def test_no_trace_of_the_blocks(monkeypatch):
    audio, weights = noise(16_000 * 7), random_weights()
    whole = VggishEmbedding(SMALL, weights)(audio)
    monkeypatch.setattr(vggish, "PATCHES_PER_BLOCK", 3)
    np.testing.assert_allclose(VggishEmbedding(SMALL, weights)(audio), whole, atol=1e-4)
    assert whole.shape == (7, 10)


def test_published_size():
    shapes = define(Vggish, VggishConfig()).named_shapes
    assert shapes["fc1_1/kernel"] == (12_288, 4_096)
    assert sum(np.prod(shape) for shape in shapes.values()) == 72_141_184
