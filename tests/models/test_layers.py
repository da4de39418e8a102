import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spectrodiff.models.layers import (
    Attention,
    Dense,
    FeedForward,
    KeyValue,
    RMSNorm,
    attend,
    dropout,
    film,
    random_phase_positions,
    scan_layers,
    sinusoid_positions,
    stack,
)


def test_attention_by_hand():
    # One head of width 2, two keys. The query (ln 3, 0) scores ln 3 and 0: weights 3/4 and 1/4.
    query = jnp.array([[[[np.log(3.0), 0.0]]]])
    keys = jnp.array([[[[1.0, 5.0], [0.0, 7.0]]]])
    values = jnp.array([[[[4.0, 8.0], [0.0, 4.0]]]])
    everything = jnp.ones((1, 1, 2), bool)
    answer = attend(query, KeyValue(keys, values, everything))
    np.testing.assert_allclose(answer[0, 0, 0], [3.0, 7.0], rtol=1e-6)
    # With the second key masked only the first value is left.
    answer = attend(query, KeyValue(keys, values, everything.at[..., 1].set(False)))
    np.testing.assert_allclose(answer[0, 0, 0], [4.0, 8.0], rtol=1e-6)


def test_attention_agrees_with_jax():
    keys_left = iter(jax.random.split(jax.random.key(0), 4))
    query, keys, values = (jax.random.normal(next(keys_left), (2, 3, 5, 8)) for _ in range(3))
    mask = jax.random.bernoulli(next(keys_left), 0.7, (2, 5, 5)) | jnp.eye(5, dtype=bool)[None]
    time_major = (array.swapaxes(1, 2) for array in (query, keys, values))
    expected = jax.nn.dot_product_attention(*time_major, mask=mask[:, None], scale=1.0)
    answer = attend(query, KeyValue(keys, values, mask))
    np.testing.assert_allclose(answer.swapaxes(1, 2), expected, atol=2e-6)


def test_large_logits_do_not_overflow():
    query = jnp.full((1, 1, 1, 1), 1e4)
    keys = jnp.array([[[[1.0], [0.0]]]])
    values = jnp.array([[[[2.0], [3.0]]]])
    answer = attend(query, KeyValue(keys, values, jnp.ones((1, 1, 2), bool)))
    np.testing.assert_array_equal(answer, [[[[2.0]]]])


def test_attention_dropout_drops_probabilities_for_all_queries_alike():
    # With the values an identity matrix the output is the dropped-out probability matrix.
    length = 64
    query = jax.random.normal(jax.random.key(0), (1, 1, 8, 4))
    keys = jax.random.normal(jax.random.key(1), (1, 1, length, 4))
    memory = KeyValue(keys, jnp.eye(length)[None, None], jnp.ones((1, 1, length), bool))
    # The identity has as many columns as keys, so that a column is one key's probabilities.
    kept = np.asarray(attend(query, memory, 0.25, jax.random.key(2))[0, 0])
    whole = np.asarray(attend(query, memory)[0, 0])
    ratio = kept / whole
    dropped = ratio[0] == 0
    assert 0.1 < dropped.mean() < 0.4
    np.testing.assert_allclose(
        ratio, np.where(dropped, 0.0, 1 / 0.75)[None].repeat(8, 0), rtol=1e-5
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


def test_initializers_have_their_variances():
    attention = Attention(512, 8, 64, rngs=nnx.Rngs(0))
    assert float(attention.key.kernel[...].var()) == pytest.approx(1 / 512, rel=0.03)
    # The query carries the factor 1/sqrt(K) of the logits: variance 1/K as large.
    assert float(attention.query.kernel[...].var()) == pytest.approx(1 / 512 / 64, rel=0.03)
    assert float(Dense(256, 512, rngs=nnx.Rngs(1)).kernel[...].var()) == pytest.approx(
        1 / 256, rel=0.03
    )


def test_sinusoid_positions_by_hand():
    # Width 4: timescales 1 and 10,000; row 3.
    expected = [np.sin(3.0), np.sin(3e-4), np.cos(3.0), np.cos(3e-4)]
    np.testing.assert_allclose(sinusoid_positions(5, 4)[3], expected, rtol=1e-5)


def test_random_phase_positions_are_permuted_sinusoids():
    table = np.asarray(random_phase_positions(2048, 16, nnx.Rngs(3))[...])
    # A sinusoid x satisfies x[n-1] + x[n+1] = 2 cos(rate) x[n], whatever its phase.
    rates = np.exp(-np.arange(8) * np.log(10_000.0) / 7)
    found = (table[:-2] + table[2:]).ravel("F").reshape(16, -1)
    middle = table[1:-1].T
    factor = (found * middle).sum(axis=1) / (middle**2).sum(axis=1)
    np.testing.assert_allclose(np.sort(factor), np.sort(np.tile(2 * np.cos(rates), 2)), atol=1e-3)
    # Each of the 16 columns has a phase of its own, and their order is not that of their rates.
    assert len(np.unique(table[0].round(4))) == 16
    assert not np.all(np.diff(factor[:8]) >= 0)


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
