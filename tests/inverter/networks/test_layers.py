"""Convolutions against scipy and against sums written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from flax import nnx

from spectrodiff.inverter.networks.layers import Convolution, Convolution2d, TransposedConvolution


def filled(module, seed=0):
    """The module with random biases, and its parameters."""
    rng = np.random.default_rng(seed)
    module.bias[...] = jnp.asarray(rng.normal(size=module.bias.shape), jnp.float32)
    return module, np.asarray(module.kernel[...]), np.asarray(module.bias[...])


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 9), (8, 4, 1), (1, 1, 1)])
def test_convolution(kernel, stride, dilation):
    module, weights, bias = filled(
        Convolution(2, 3, kernel, stride=stride, dilation=dilation, rngs=nnx.Rngs(0))
    )
    x = np.random.default_rng(1).normal(size=(40, 2)).astype(np.float32)
    spread = np.zeros(((kernel - 1) * dilation + 1, 2, 3))
    spread[::dilation] = weights
    reach = len(spread) - 1
    padded = np.pad(x, ((reach // 2, reach - reach // 2), (0, 0)))
    wanted = bias + np.stack(
        [
            sum(scipy.signal.correlate(padded[:, i], spread[:, i, o], "valid") for i in range(2))
            for o in range(3)
        ],
        axis=1,
    )
    np.testing.assert_allclose(module(jnp.asarray(x[None]))[0], wanted[::stride], atol=1e-5)


def test_convolution_over_time_and_frequency():
    module, weights, bias = filled(
        Convolution2d(1, 1, (3, 9), stride=(1, 2), dilation=(4, 1), rngs=nnx.Rngs(0))
    )
    x = np.random.default_rng(1).normal(size=(20, 33)).astype(np.float32)
    spread = np.zeros((9, 9))
    spread[::4] = weights[..., 0, 0]
    wanted = scipy.signal.correlate2d(np.pad(x, 4), spread, "valid")[:, ::2] + bias
    result = module(jnp.asarray(x[None, :, :, None]))[0, ..., 0]
    np.testing.assert_allclose(result, wanted, atol=1e-5)


@pytest.mark.parametrize("factor", [8, 5, 2])
def test_transposed_convolution(factor):
    module, weights, bias = filled(TransposedConvolution(2, 3, factor, rngs=nnx.Rngs(0)))
    x = np.random.default_rng(1).normal(size=(6, 2)).astype(np.float32)
    kernel = weights.reshape(2, 2 * factor, 3)
    # Every input spreads its kernel, whose middle lies in the middle of the input's place.
    spread = np.zeros(((6 + 2) * factor, 3))
    for place, values in enumerate(x):
        begin = (place + 1) * factor - factor // 2
        spread[begin : begin + 2 * factor] += np.einsum("i,iko->ko", values, kernel)
    wanted = spread[factor : 7 * factor] + bias
    np.testing.assert_allclose(module(jnp.asarray(x[None]))[0], wanted, atol=1e-5)
    # What depends on what: an input moves the outputs that say they depend on it.
    grad = jax.jacobian(lambda x: module(x[None])[0, :, 0])(jnp.asarray(x))
    for output, row in enumerate(np.abs(np.asarray(grad)).sum(axis=2)):
        inside = [i for i in module.inputs_of(output, factor) if 0 <= i < 6]
        assert list(np.flatnonzero(row)) == inside
