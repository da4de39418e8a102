"""Steps on many devices, with parameters copied or split, are those of one device."""

import dataclasses

import jax
import numpy as np
import pytest

from spectrodiff.core.parallel import to_host
from spectrodiff.training.settings import Optimization, Training
from spectrodiff.training.tasks.invert import Inversion
from tests.support import tiny

# Matrices large enough to be split, and more than one layer.
NETWORK = dataclasses.replace(
    tiny.NETWORK,
    width=64,
    head_width=32,
    mlp_width=128,
    encoder_layers=2,
    decoder_layers=2,
    dropout=0.1,
)


def run(devices, *, split=False):
    """Losses of three steps in micro-batches, and what is left after them."""
    trainer = tiny.Trainer(
        devices=devices,
        network=NETWORK,
        optimization=Optimization(optimizer="adamw", ema_decay=0.5, clip_norm=1.0),
        training=Training(batch_size=16, micro_batches=2, shard_parameters=split),
    )
    metrics = [trainer.take(tiny.batch(16, seed=seed)) for seed in range(3)]
    return metrics, trainer


@pytest.fixture(scope="module")
def on_one_device():
    metrics, trainer = run(1)
    return metrics, trainer.host()


@pytest.mark.parametrize("split", [False, True])
def test_micro_batches_and_averages_are_those_of_one_device(on_one_device, split):
    metrics, trainer = run(8, split=split)
    for found, wanted in zip(metrics, on_one_device[0], strict=True):
        assert found == pytest.approx(wanted, rel=1e-5)
    # Adam's first steps divide by the gradients; where these are rounding errors, so are they.
    host = to_host(trainer.state, trainer.mesh)
    tiny.assert_trees(host.params, on_one_device[1].params, rtol=1e-3, atol=2e-4)
    tiny.assert_trees(host.ema, on_one_device[1].ema, rtol=1e-3, atol=2e-4)
    moments = jax.tree.leaves(host.opt_state), jax.tree.leaves(on_one_device[1].opt_state)
    for found, wanted in zip(*moments, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)
    # Parameters, averages and moments are where they were at the start.
    assert jax.tree.map(lambda leaf: leaf.sharding, trainer.state) == trainer.shardings
    kernels = [
        leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(trainer.state)
        if path[-1] == jax.tree_util.DictKey("kernel")
    ]
    parts = {leaf.size // leaf.addressable_shards[0].data.size for leaf in kernels}
    assert parts == ({8} if split else {1})


def test_inverters_are_trained_on_eight_devices_as_on_one():
    """Fourier transforms are computed by each device for its own examples."""
    found = []
    for devices in (1, 8):
        settings = Training(batch_size=8, shard_parameters=True)
        task = tiny.make_task(task=Inversion("tiny", window_frames=16, phase_advance=1.0))
        trainer = tiny.Trainer(devices=devices, task=task, training=settings)
        network = dataclasses.replace(tiny.NETWORK, target_frames=16, context_frames=0)
        found.append(trainer.take(tiny.batch(8, network=network)))
    assert found[1] == pytest.approx(found[0], rel=1e-4)
