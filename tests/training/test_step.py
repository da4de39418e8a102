import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from spectrodiff.core.parallel import to_host
from spectrodiff.training.preview import write_previews
from spectrodiff.training.settings import Optimization, Training
from spectrodiff.training.step import average
from spectrodiff.training.tasks.denoise import Diffusion
from tests.support import tiny

# Matrices large enough to be factored by Adafactor and split over devices.
WIDE = dataclasses.replace(tiny.NETWORK, width=128, mlp_width=128)
DROPPING = dataclasses.replace(WIDE, dropout=0.1)


def take(devices, steps=2, network=WIDE, **training):
    trainer = tiny.Trainer(
        devices=devices, network=network, training=Training(batch_size=8, **training)
    )
    losses = [trainer.take(tiny.batch(8, seed=seed))["loss"] for seed in range(steps)]
    return losses, trainer


@pytest.fixture(scope="module")
def on_one_device():
    losses, trainer = take(1, network=DROPPING)
    return losses, trainer.host()


@pytest.mark.parametrize("split", [False, True])
def test_eight_devices_take_the_same_steps_as_one(on_one_device, split):
    losses, trainer = take(8, network=DROPPING, shard_parameters=split)
    np.testing.assert_allclose(losses, on_one_device[0], rtol=1e-5)
    host = jax.tree.map(np.asarray, trainer.state)
    # Adafactor's first steps divide by the gradients. Where these are rounding errors, updates
    # differ, but by at most the rate, and in few of the parameters.
    tiny.assert_trees(host.params, on_one_device[1].params, rtol=1e-3, atol=1e-3)
    pairs = zip(jax.tree.leaves(host.params), jax.tree.leaves(on_one_device[1].params), strict=True)
    differing = [~np.isclose(ours, theirs, rtol=1e-3, atol=2e-4) for ours, theirs in pairs]
    assert np.mean(np.concatenate([part.ravel() for part in differing])) < 1e-5
    kernel = trainer.state.params["decoder"]["layers"]["mlp"]["gate"]["kernel"]
    assert kernel.sharding.is_fully_replicated != split
    if split:
        assert kernel.addressable_shards[0].data.size == kernel.size // 8
        tiny.assert_trees(to_host(trainer.state.params, trainer.mesh), host.params)


def test_micro_batches_and_remat_give_the_same_step():
    """The task is not random: mean squared distance to each example's tokens."""
    wanted = None
    for parts in (1, 4):
        for devices in (1, 2):
            trainer = tiny.Trainer(
                devices=devices,
                task=Distance(),
                params={"w": np.arange(6.0, dtype=np.float32)},
                training=Training(batch_size=8, micro_batches=parts),
            )
            metrics = trainer.take(tiny.batch(8))
            tokens = tiny.batch(8)["tokens"][:, :6].astype(np.float32)
            gradient = np.mean(2 * (np.arange(6) - tokens), axis=0)
            np.testing.assert_allclose(
                metrics["loss"], np.square(np.arange(6) - tokens).sum(axis=1).mean(), rtol=1e-5
            )
            np.testing.assert_allclose(metrics["grad_norm"], np.linalg.norm(gradient), rtol=1e-5)
            after = trainer.host().params
            wanted = after if wanted is None else wanted
            tiny.assert_trees(after, wanted, rtol=1e-5)


class Distance:
    sizes = tiny.NETWORK.config()
    frozen: ClassVar = {}

    def loss(self, params, examples, key):
        del key
        tokens = examples.tokens[:, :6].astype(jnp.float32)
        return {"loss": jnp.square(params["w"][None] - tokens).sum(axis=1).mean()}


def test_remat_changes_nothing_but_rounding():
    losses = [take(1, remat=remat)[0] for remat in (False, True)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_bfloat16_products_with_float32_parameters():
    losses, trainer = take(1, precision="bfloat16")
    exact, _ = take(1)
    np.testing.assert_allclose(losses, exact, rtol=0.02)
    assert losses != exact
    assert {leaf.dtype for leaf in jax.tree.leaves(trainer.state.params)} == {np.dtype("float32")}


def test_every_step_has_another_key_and_position_tables_stay():
    # The rate is so small that only the randomness changes from step to step.
    trainer = tiny.Trainer(optimization=Optimization(learning_rate=1e-30))
    before = trainer.host().params
    losses = [trainer.take(tiny.batch(8))["loss"] for _ in range(3)]
    assert len(set(losses)) == 3
    assert int(trainer.state.step) == 3
    # Positions are not trained, do not decay, and have no arrays in the optimizer's state.
    trainer = tiny.Trainer(
        optimization=Optimization(optimizer="adamw", weight_decay=0.5, learning_rate=0.1)
    )
    trainer.take(tiny.batch(8))
    after = trainer.host()
    for stack in ("note_encoder", "context_encoder", "decoder"):
        np.testing.assert_array_equal(after.params[stack]["positions"], before[stack]["positions"])
        assert not np.array_equal(
            after.params[stack]["norm"]["scale"], before[stack]["norm"]["scale"]
        )
    moments = [leaf for leaf in jax.tree.leaves(after.opt_state) if leaf.ndim]
    tables = {before[stack]["positions"].shape for stack in ("note_encoder", "decoder")}
    assert not tables & {leaf.shape for leaf in moments}


class Randomness:
    """A task whose metrics are the halves of its key, as float32."""

    sizes = tiny.NETWORK.config()
    frozen: ClassVar = {}

    def loss(self, params, examples, key):
        halves = jnp.stack([jax.random.key_data(key) >> 16, jax.random.key_data(key) & 0xFFFF])
        numbers = {f"key{i}": half.astype(jnp.float32) for i, half in enumerate(halves.ravel())}
        return {"loss": (params["w"] ** 2).sum(), **numbers}


@pytest.mark.parametrize("bits", ["threefry2x32", "rbg"])
def test_steps_have_other_keys_than_initial_parameters(bits):
    """Both have the same seed; each initial parameter has one key."""
    trainer = tiny.Trainer(
        task=Randomness(),
        params={"w": np.ones(6, np.float32)},
        training=Training(batch_size=8, seed=3, random_bits=bits),
    )
    steps = set()
    for _ in range(20):
        metrics = trainer.take(tiny.batch(8))
        steps.add(tuple(metrics[f"key{i}"] for i in range(len(metrics) - 2)))
    assert len(steps) == 20
    streams = nnx.Rngs(jax.random.key(3, impl=bits))
    initial = set()
    for _ in range(100):
        data = np.asarray(jax.random.key_data(streams.params()))
        initial.add(tuple(np.stack([data >> 16, data & 0xFFFF]).ravel().astype(float)))
    assert len(initial) == 100
    assert not steps & initial


def test_a_context_longer_than_the_target_is_trained_and_previewed(tmp_path):
    network = dataclasses.replace(tiny.NETWORK, context_frames=20)
    trainer = tiny.Trainer(network=network)
    examples = tiny.batch(8, network=network)
    assert np.isfinite(trainer.take(examples)["loss"])
    params = trainer.host().params
    (preview,) = write_previews(tmp_path, 1, trainer.task, params, examples, 1)
    assert preview.audio.shape == (8 * 320,)
    assert preview.audio.std() > 0


def test_running_average():
    trainer = tiny.Trainer(optimization=Optimization(ema_decay=0.15))
    before, donated = jax.tree.map(np.array, trainer.state.params), trainer.state
    trainer.take(tiny.batch(8))
    after = trainer.host()
    assert donated.params["decoder"]["output"]["kernel"].is_deleted()
    # The first step keeps (1 + 0) / (10 + 0) of the average.
    wanted = jax.tree.map(lambda old, new: 0.1 * old + 0.9 * new, before, after.params)
    tiny.assert_trees(after.ema, wanted, rtol=1e-5, atol=1e-7)
    # Later steps keep the decay: min(0.15, 101 / 110).
    later = average({"a": jnp.ones(1)}, {"a": jnp.zeros(1)}, jnp.int32(100), 0.15)
    np.testing.assert_allclose(later["a"], 0.15, rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["adafactor", "adamw", "muon"])
def test_a_network_overfits_one_batch(optimizer):
    trainer = tiny.Trainer(
        diffusion=Diffusion(prediction="v", loss_target="v", drop_conditioning=0.0),
        optimization=Optimization(optimizer=optimizer, learning_rate=1e-2),
    )
    losses = [trainer.take(tiny.batch(8))["loss"] for _ in range(60)]
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:3])


def test_the_optimizer_state_has_trained_parameters_only():
    trainer = tiny.Trainer(optimization=Optimization(optimizer="adamw"))
    trained = sum(
        leaf.size
        for path, leaf in jax.tree_util.tree_leaves_with_path(trainer.state.params)
        if path[-1].key != "positions"
    )
    held = sum(leaf.size for leaf in jax.tree.leaves(trainer.state.opt_state))
    assert 2 * trained <= held <= 2 * trained + 4  # two moments, and counters
    assert optax.tree_utils.tree_get(trainer.state.opt_state, "mu") is not None
