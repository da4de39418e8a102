import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spectrodiff.inverter.config import SIZES as INVERTER_SIZES
from spectrodiff.inverter.networks.discriminators import Discriminators, DiscriminatorsConfig
from spectrodiff.inverter.networks.generators import generator_of
from spectrodiff.models.autoregressive import Autoregressor
from spectrodiff.models.config import SIZES
from spectrodiff.models.definition import define, init_params
from spectrodiff.models.denoiser import Denoiser
from tests.support.reference import TINY_CONTEXT

NETWORKS = [
    (Denoiser, TINY_CONTEXT),
    (Autoregressor, dataclasses.replace(TINY_CONTEXT, kind="autoregressive", context_frames=0)),
    *((generator_of(config), config) for config in INVERTER_SIZES.values()),
    (Discriminators, DiscriminatorsConfig((1024,), (4,), stft_width=4, wave_width=4)),
]


class Pair(nnx.Module):
    """Two drawn parameters and one that is not."""

    def __init__(self, width, *, twice=False, rngs):
        self.first = nnx.Param(jax.random.normal(rngs.params(), (width,)))
        self.bias = nnx.Param(jnp.zeros(width))
        self.inner = nnx.Dict(second=nnx.Param(jax.random.uniform(rngs.params(), (2, width))))
        self.twice = twice

    def __call__(self, x):
        return (1 + self.twice) * self.first[...] * x


@pytest.mark.parametrize(("network", "config"), NETWORKS)
def test_initial_parameters_have_the_shapes_of_the_definition(network, config):
    definition = define(network, config)
    initial = jax.eval_shape(lambda: init_params(network, config, 0))
    assert jax.tree.structure(initial) == jax.tree.structure(definition.shapes)
    for found, expected in zip(*map(jax.tree.leaves, (initial, definition.shapes)), strict=True):
        assert (found.shape, found.dtype) == (expected.shape, jnp.float32)


def test_names_and_shapes():
    assert define(Pair, 3).named_shapes == {"bias": (3,), "first": (3,), "inner/second": (2, 3)}
    shapes = define(Denoiser, TINY_CONTEXT).named_shapes
    assert list(shapes) == sorted(shapes)
    assert shapes["context_encoder/layers/attention/query/kernel"] == (2, 32, 16)
    assert shapes["decoder/layers/self_attention_film/kernel"] == (3, 128, 64)


def test_parameters_are_drawn_with_keys_folded_from_the_seed():
    params = init_params(Pair, 3, 7)
    first, second = (jax.random.fold_in(jax.random.key(7), number) for number in (0, 1))
    np.testing.assert_array_equal(params["first"], jax.random.normal(first, (3,)))
    np.testing.assert_array_equal(params["inner"]["second"], jax.random.uniform(second, (2, 3)))
    np.testing.assert_array_equal(params["bias"], np.zeros(3))
    assert (init_params(Pair, 3, 7, random_bits="rbg")["first"] != params["first"]).all()


def test_merged_network_computes_with_its_parameters_and_options():
    params = {"first": jnp.array([1.0, 2.0]), "bias": jnp.zeros(2)}
    params["inner"] = {"second": jnp.zeros((2, 2))}
    np.testing.assert_array_equal(define(Pair, 2).merge(params)(3.0), [3, 6])
    np.testing.assert_array_equal(define(Pair, 2, twice=True).merge(params)(3.0), [6, 12])


def test_a_definition_holds_no_arrays_and_is_made_once():
    definition = define(Denoiser, SIZES["base"])
    leaves = jax.tree.leaves(definition.shapes)
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves)
    assert sum(leaf.size for leaf in leaves) == 411_665_664
    # Defaults that are spelled out make no other definition.
    assert define(Denoiser, SIZES["base"], dtype=jnp.float32, remat=False) is definition
    half = define(Denoiser, SIZES["base"], dtype=jnp.bfloat16)
    assert half != definition
    assert half.named_shapes == definition.named_shapes
