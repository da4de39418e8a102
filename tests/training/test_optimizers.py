import gin
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from spectrodiff.commands import train
from spectrodiff.training.optimizers import (
    join_fixed,
    learning_rate,
    make_optimizer,
    split_fixed,
)
from spectrodiff.training.settings import Optimization


def random_tree(seed):
    """A tree whose matrices are factored: both axes have at least 128 entries."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    return {
        "embedding": draw(150, 130),
        "layers": {
            # Layers with very different norms.
            "mlp": {"kernel": draw(3, 128, 140) * np.float32([[[0.01]], [[1]], [[30]]])},
            "norm": {"scale": draw(3, 16)},
        },
        "out": {"kernel": draw(130, 128)},
    }


def test_adafactor_treats_layers_as_separate_parameters():
    """Comparison with optax's Adafactor, whose defaults are T5X's, on unstacked layers."""
    params, steps = random_tree(0), [random_tree(1), random_tree(2), random_tree(3)]

    def unstack(tree):
        layers = {
            f"layers_{i}": jax.tree.map(lambda leaf, i=i: leaf[i], tree["layers"]) for i in range(3)
        }
        return {name: value for name, value in tree.items() if name != "layers"} | layers

    ours = run(make_optimizer(Optimization(), lambda step: 1e-2), params, steps)
    reference = optax.adafactor(learning_rate=1e-2)
    theirs = run(reference, unstack(params), [unstack(gradients) for gradients in steps])
    for name, leaf in jax.tree_util.tree_leaves_with_path(unstack(ours)):
        wanted = theirs
        for entry in name:
            wanted = wanted[entry.key]
        np.testing.assert_allclose(leaf, wanted, rtol=2e-5, atol=1e-6)
    # One scale for all layers would give another result.
    together = run(reference, params, steps)
    assert not np.allclose(together["layers"]["mlp"]["kernel"], ours["layers"]["mlp"]["kernel"])


def run(optimizer, params, steps):
    @jax.jit
    def step(params, state, gradients):
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for gradients in steps:
        params, state = step(params, state, gradients)
    return params


def test_adamw_decays_matrices_only():
    params = jax.tree.map(np.ones_like, random_tree(0))
    still = jax.tree.map(np.zeros_like, params)
    settings = Optimization(optimizer="adamw", weight_decay=0.5)
    after = run(make_optimizer(settings, lambda step: 0.1), params, [still])
    # Without gradients the only update is -0.1 * 0.5 * parameter.
    np.testing.assert_allclose(after["layers"]["mlp"]["kernel"], 0.95, rtol=1e-6)
    np.testing.assert_allclose(after["out"]["kernel"], 0.95, rtol=1e-6)
    np.testing.assert_array_equal(after["layers"]["norm"]["scale"], 1.0)
    np.testing.assert_array_equal(after["embedding"], 1.0)


def test_muon_orthogonalizes_every_layer():
    params, gradients = random_tree(0), random_tree(1)
    after = run(
        make_optimizer(Optimization(optimizer="muon"), lambda step: 0.1), params, [gradients]
    )
    change = np.asarray(after["layers"]["mlp"]["kernel"]) - params["layers"]["mlp"]["kernel"]
    for layer in change:
        values = np.linalg.svd(layer, compute_uv=False)
        # Newton-Schulz makes the singular values nearly equal; those of a gradient differ tenfold.
        assert values.max() / values.min() < 2.0
    # Other parameters take Adam's first step, which depends on the sign of the gradient alone. With
    # Nesterov's momentum its length is b1 / (1 + b1) + 1 = 1.4737 times the rate.
    np.testing.assert_allclose(
        after["embedding"] - params["embedding"],
        -0.147368 * np.sign(gradients["embedding"]),
        rtol=1e-3,
    )


def matrices(stack, attentions=("attention",)):
    parts = [f"{name}/{part}" for name in attentions for part in ("query", "key", "value", "out")]
    parts += [f"mlp/{part}" for part in ("gate", "up", "down")]
    return {f"{stack}/layers/{part}/kernel" for part in parts}


DECODER = matrices("decoder", ("self_attention", "cross_attention"))


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ("mini/full.gin", {*matrices("note_encoder"), *matrices("context_encoder"), *DECODER}),
        ("small_autoregressive.gin", {*matrices("note_encoder"), *DECODER}),
        # Not the taps [L, 7, D] of depthwise convolutions, and not the layers of Fourier bins.
        *(
            (f"inverter/{name}.gin", {f"generator/layers/{part}/kernel" for part in ("up", "down")})
            for name in ("frame_rate_cpu", "recurrent", "tiny")
        ),
        # Convolutions [taps, inputs, outputs] are not matrices; nor are those of discriminators.
        ("inverter/melgan.gin", set()),
    ],
)
def test_muon_is_for_stacks_of_matrices(config, wanted):
    """All parameters of all networks have either Muon's moment or Adam's two."""
    gin.clear_config()
    settings = train.configure([config], [])
    gin.clear_config()
    task = settings.make_task()
    params = jax.eval_shape(lambda: split_fixed(task.init_params(0))[0])
    optimizer = make_optimizer(Optimization(optimizer="muon"), lambda step: 0.1)
    state = jax.eval_shape(optimizer.init, params)
    by_adam = {
        names(path)[names(path).index("nu") + 1 :]
        for path, _ in jax.tree_util.tree_leaves_with_path(state)
        if "nu" in names(path)
    }
    every = {names(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)}
    assert by_adam < every or (by_adam == every and not wanted)
    assert {"/".join(path) for path in every - by_adam} == wanted


def names(path):
    return tuple(str(getattr(entry, "key", getattr(entry, "name", ""))) for entry in path)


def test_clipping_scales_all_gradients_together():
    params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    settings = Optimization(optimizer="adamw", clip_norm=1.0)
    clipped = optax.clip_by_global_norm(1.0).update(
        {"a": jnp.full(1, 3.0), "b": jnp.full(1, 4.0)}, ()
    )[0]
    np.testing.assert_allclose([clipped["a"][0], clipped["b"][0]], [0.6, 0.8], rtol=1e-6)
    # Adam's updates do not depend on the scale, but its second moment does: (1 - 0.999) * g ** 2.
    optimizer = make_optimizer(settings, lambda step: 0.1)
    _, state = optimizer.update(
        {"a": jnp.full(1, 3.0), "b": jnp.full(1, 4.0)}, optimizer.init(params), params
    )
    second = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == (1,) and 0 < leaf[0] < 1e-2]
    np.testing.assert_allclose(second, [[0.36e-3], [0.64e-3]], rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        # Rates at steps 0, 1, 3, 4, 7, 11 of 12, in thousandths.
        ({}, [1, 1, 1, 1, 1, 1]),
        # Linear over four steps, then constant.
        ({"warmup_steps": 4}, [0.25, 0.5, 1, 1, 1, 1]),
        # Half a cosine over all twelve: 0.5 (1 + cos(pi step / 12)).
        ({"schedule": "cosine"}, [1, 0.982963, 0.853553, 0.75, 0.370590, 0.017037]),
        # Over the eight steps after the warm-up: 0.5 (1 + cos(pi (step - 4) / 8)).
        ({"schedule": "cosine", "warmup_steps": 4}, [0.25, 0.5, 1, 1, 0.691342, 0.038060]),
        # sqrt(4 / (step + 1)) after four steps of warm-up.
        ({"schedule": "rsqrt", "warmup_steps": 4}, [0.25, 0.5, 1, 0.894427, 0.707107, 0.577350]),
    ],
)
def test_schedules(settings, wanted):
    rate = learning_rate(Optimization(learning_rate=1e-3, **settings), total_steps=12)
    found = [float(rate(step)) for step in (0, 1, 3, 4, 7, 11)]
    np.testing.assert_allclose(found, np.array(wanted) * 1e-3, rtol=1e-5)


def test_queries_and_keys_can_have_another_rate():
    names = ("query", "key", "value")
    params = {name: {"kernel": jnp.ones((3, 4))} for name in names} | {"keyboard": jnp.ones(3)}
    gradients = jax.tree.map(lambda leaf: 2 * leaf, params)
    settings = Optimization(optimizer="adamw", query_key_rate=0.25)
    optimizer = make_optimizer(settings, lambda step: 1e-2)
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    # The length of Adam's first step is the learning rate.
    steps = {name: float(jnp.ravel(jax.tree.leaves(updates[name])[0])[0]) for name in params}
    wanted = {"query": -0.0025, "key": -0.0025, "value": -0.01, "keyboard": -0.01}
    assert steps == pytest.approx(wanted, rel=1e-5)


def test_position_tables_are_split_off_and_joined():
    params = {"a": {"positions": 1, "kernel": 2}, "b": {"c": {"positions": 3}}, "d": 4}
    trained, fixed = split_fixed(params)
    assert trained == {"a": {"kernel": 2}, "b": {"c": {}}, "d": 4}
    assert fixed == {"a": {"positions": 1}, "b": {"c": {"positions": 3}}}
    assert join_fixed(trained, fixed) == params
