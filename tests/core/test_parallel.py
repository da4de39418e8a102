"""Placement of parameters and optimizer states, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from spectrodiff.core.parallel import (
    BATCH,
    gathered,
    make_mesh,
    parameter_shardings,
    per_device,
    shardings_like,
    traced_for,
    use_whole,
)
from tests.support.tiny import assert_trees

WHOLE = PartitionSpec()


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, np.float32)


def nested(names):
    """A tree of dicts from paths."""
    tree = {}
    for name, value in names.items():
        *folders, last = name.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return tree


def specs(shardings):
    """Partitions by path."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): sharding.spec
        for path, sharding in jax.tree_util.tree_leaves_with_path(shardings)
    }


# Shapes, and their partitions on eight devices.
CASES = {
    # The first named axis that divides; never that of the layers.
    "decoder/layers/self_attention/query/kernel": ((8, 64, 96), PartitionSpec(None, "data")),
    "decoder/layers/mlp/up/kernel": ((16, 60, 80), PartitionSpec(None, None, "data")),
    "decoder/layers/mlp/down/kernel": ((8, 99, 51), WHOLE),
    "decoder/layers/mlp_film/kernel": ((2, 512, 256), PartitionSpec(None, "data")),
    # The size of a layer counts: 48 * 80 are fewer than 4096.
    "decoder/layers/cross_attention/notes/out/kernel": ((99, 48, 80), WHOLE),
    "decoder/layers/mlp_norm/scale": ((8, 8192), WHOLE),
    "decoder/time/in/kernel": ((64, 256), PartitionSpec("data")),
    "note_encoder/embedding": ((1537, 64), PartitionSpec(None, "data")),
    "note_encoder/positions": ((2048, 64), PartitionSpec("data")),
    "note_encoder/trained_positions": ((2048, 64), PartitionSpec("data")),
    # Taps of convolutions, and matrices of many bins.
    "stft_512/layer1/kernel": ((8, 16, 64, 128), PartitionSpec(None, None, "data")),
    "bins/first/own": ((641, 53, 32), PartitionSpec(None, None, "data")),
    "layers/taps": ((8, 8, 8192), WHOLE),
}


def test_parameters_are_split_by_the_names_of_their_axes():
    mesh = make_mesh(jax.devices())
    params = nested({name: shape(*sizes) for name, (sizes, _) in CASES.items()})
    found = specs(parameter_shardings(params, mesh, split=True))
    assert found == {name: spec for name, (_, spec) in CASES.items()}
    whole = specs(parameter_shardings(params, mesh, split=False))
    assert set(whole.values()) == {WHOLE}
    one = specs(parameter_shardings(params, make_mesh(jax.devices()[:1]), split=True))
    assert set(one.values()) == {WHOLE}


@pytest.mark.parametrize("optimizer", ["adafactor", "adam"])
def test_an_optimizers_arrays_are_split_like_their_parameters(optimizer):
    params = {
        "layers": {"gate": {"kernel": shape(3, 256, 512)}, "norm": {"scale": shape(3, 256)}},
        "embedding": shape(1000, 256),
    }
    mesh = make_mesh(jax.devices())
    shardings = parameter_shardings(params, mesh, split=True)
    if optimizer == "adam":
        state = jax.eval_shape(optax.scale_by_adam().init, params)
        found = specs(shardings_like(state, params, shardings, mesh))
        for moment in ("mu", "nu"):
            assert found[f"{moment}/layers/gate/kernel"] == PartitionSpec(None, "data")
            assert found[f"{moment}/layers/norm/scale"] == WHOLE
        assert found["count"] == WHOLE
        return
    state = jax.eval_shape(optax.scale_by_factored_rms().init, params)
    found = specs(shardings_like(state, params, shardings, mesh))
    # Means over columns have the split axis, means over rows have not: [3, 256] and [3, 512].
    assert found["v_row/layers/gate/kernel"] == PartitionSpec(None, "data")
    assert found["v_col/layers/gate/kernel"] == PartitionSpec(None)
    # [256] and [1000], which is split.
    assert found["v_row/embedding"] == PartitionSpec()
    assert found["v_col/embedding"] == PartitionSpec("data")
    assert found["v/layers/gate/kernel"] == WHOLE  # a placeholder, [1]
    assert found["v/layers/norm/scale"] == WHOLE


def test_gathered_parameters_give_the_same_gradient_in_their_own_placement():
    mesh = make_mesh(jax.devices())
    rng = np.random.default_rng(0)
    params = {
        "layers": {"up": {"kernel": rng.normal(0, 0.1, (2, 64, 64)).astype(np.float32)}},
        "output": {"kernel": rng.normal(0, 0.1, (64, 128)).astype(np.float32)},
    }
    x = rng.normal(size=(16, 64)).astype(np.float32)
    shardings = parameter_shardings(params, mesh, split=True)

    def loss(params, x):
        params = gathered(params, shardings)
        with traced_for(mesh):
            for kernel in params["layers"]["up"]["kernel"]:
                x = use_whole(lambda kernel, x: x @ kernel, kernel, x, jnp.float32)
            return jnp.square(per_device(jnp.sin, x @ params["output"]["kernel"])).sum()

    placed = jax.device_put((params, x), (shardings, NamedSharding(mesh, BATCH)))
    gradients = jax.jit(jax.grad(loss))(*placed)
    for found, wanted in zip(jax.tree.leaves(gradients), jax.tree.leaves(shardings), strict=True):
        assert found.sharding.is_equivalent_to(wanted, found.ndim)
    # The chain rule, in float64.
    first, second = params["layers"]["up"]["kernel"].astype(np.float64)
    last = params["output"]["kernel"].astype(np.float64)
    hidden = x @ first
    before = hidden @ second
    outer = np.sin(2 * (before @ last))  # the derivative of sin^2
    middle = outer @ last.T
    wanted = {
        "layers": {"up": {"kernel": np.stack([x.T @ (middle @ second.T), hidden.T @ middle])}},
        "output": {"kernel": before.T @ outer},
    }
    assert_trees(gradients, wanted, rtol=1e-4, atol=1e-4)
