import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spectrodiff.models.layers import (
    Dense,
    FeedForward,
    RMSNorm,
    dropout,
    film,
    scan_layers,
    stack,
)


def test_dropout_rate_scale_and_sharing():
    ones = jnp.ones((200, 10, 300))
    dropped = np.asarray(dropout(ones, 0.1, jax.random.key(0), shared_axis=1))
    assert np.all(dropped == dropped[:, :1])
    np.testing.assert_array_equal(np.unique(dropped), np.float32([0.0, 1 / 0.9]))
    # 60,000 draws: standard error 0.0012.
    assert (dropped == 0).mean() == pytest.approx(0.1, abs=0.006)
    np.testing.assert_array_equal(dropout(ones, 0.1, None), ones)


def test_norm_by_hand():
    norm = RMSNorm(2)
    norm.scale[...] = jnp.array([1.0, 2.0])
    # rms of (3, 4) is sqrt(12.5).
    expected = np.array([3.0, 8.0]) / np.sqrt(12.5)
    np.testing.assert_allclose(norm(jnp.array([3.0, 4.0])), expected, rtol=1e-6)


def test_norm_works_in_float32_whatever_comes_in():
    x = jnp.full((1, 4), 300.0, jnp.float16)  # its square is beyond float16
    np.testing.assert_allclose(RMSNorm(4, dtype=jnp.float16)(x), 1.0, rtol=1e-3)


def test_feed_forward_by_hand():
    block = FeedForward(1, 1, rngs=nnx.Rngs(0))
    block.gate.kernel[...], block.up.kernel[...] = jnp.array([[1.0]]), jnp.array([[3.0]])
    block.down.kernel[...] = jnp.array([[0.5]])
    # gelu(2) in its tanh form is 1.9545977.
    np.testing.assert_allclose(block(jnp.full((1, 1, 1), 2.0)), 1.9545977 * 6.0 * 0.5, rtol=1e-5)


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_dense_has_the_gradients_of_a_matrix_product(platform, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    dense = Dense(3, 2, rngs=nnx.Rngs(0))
    x, weights = (jax.random.normal(jax.random.key(seed), (4, 5, 3)) for seed in (1, 2))
    weights = weights[..., :2]
    kernel = np.asarray(dense.kernel[...])
    dense_grad, x_grad = nnx.grad(lambda d, x: (d(x) * weights).sum(), argnums=(0, 1))(dense, x)
    np.testing.assert_allclose(x_grad, np.einsum("bto,io->bti", weights, kernel), rtol=1e-5)
    expected = np.einsum("bti,bto->io", x, weights)
    np.testing.assert_allclose(dense_grad.kernel[...], expected, rtol=1e-5)


def test_forward_mode_works_where_dense_is_a_plain_product(monkeypatch):
    # On a CPU the product has a rule of its own, for reverse mode only.
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    block = FeedForward(3, 4, rngs=nnx.Rngs(0))
    x, direction = (jax.random.normal(jax.random.key(seed), (1, 2, 3)) for seed in (1, 2))
    _, derivative = jax.jvp(block, (x,), (direction,))
    step = 1e-2
    expected = (block(x + step * direction) - block(x - step * direction)) / (2 * step)
    np.testing.assert_allclose(derivative, expected, atol=1e-3)


def test_film_scales_and_shifts():
    x = jnp.array([[[1.0, 2.0]]])
    np.testing.assert_allclose(film(x, jnp.array([[0.5, -1.0, 10.0, 20.0]])), [[[11.5, 20.0]]])


def test_initializer_has_its_variance():
    assert float(Dense(256, 512, rngs=nnx.Rngs(1)).kernel[...].var()) == pytest.approx(
        1 / 256, rel=0.03
    )


@pytest.mark.parametrize("remat", [False, True])
def test_scanned_layers_run_in_order(remat):
    layers = stack(lambda rngs: Dense(1, 1, rngs=rngs), 3, nnx.Rngs(0))
    layers.kernel[...] = jnp.array([2.0, 3.0, 5.0])[:, None, None]
    offsets = jnp.array([1.0, 10.0, 100.0])
    answer = scan_layers(
        layers, lambda layer, x, offset: layer(x) + offset, jnp.ones((1, 1)), offsets, remat=remat
    )
    # ((1 * 2 + 1) * 3 + 10) * 5 + 100
    np.testing.assert_allclose(answer, [[195.0]])


def test_stacked_layers_differ():
    kernels = stack(lambda rngs: Dense(4, 4, rngs=rngs), 3, nnx.Rngs(0)).kernel[...]
    assert kernels.shape == (3, 4, 4)
    assert float(jnp.abs(kernels[0] - kernels[1]).max()) > 0.1
