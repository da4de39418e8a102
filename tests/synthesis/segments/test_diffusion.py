"""Segments of a diffusion network against plain code, for outputs and contexts of ablations."""

import jax
import numpy as np
import pytest

from spectrodiff.checkpoints.layouts.t5x import import_t5x
from spectrodiff.core.parallel import make_mesh
from spectrodiff.diffusion.schedule import make_schedule
from spectrodiff.synthesis.segments.diffusion import DiffusionSegments
from spectrodiff.synthesis.segments.model import SegmentBatch
from tests.support.checkpoint_writers import write_t5x
from tests.support.plain import diffusion as plain
from tests.support.plain import networks

STEPS, GUIDANCE = 12, 2.0
GIN = f"""
diffusion_utils.DiffusionConfig.model_output = 'x0_and_eps'
sampler/diffusion_utils.DiffusionSchedule.num_steps = {STEPS}
"""
KERNEL = "params/decoder/spec_out_dense/kernel"


@pytest.fixture(scope="module")
def arrays(golden):
    """A reference network with a last layer of two estimates, and inputs for it."""
    arrays = dict(np.load(golden / "network_context_concat_encodings.npz"))
    kernel = np.random.default_rng(0).normal(scale=0.15, size=(32, 256))
    return arrays | {KERNEL: kernel.astype(np.float32)}


@pytest.fixture(scope="module")
def checkpoint(arrays, tmp_path_factory):
    prefix = "params/"
    params = {
        name.removeprefix(prefix): values
        for name, values in arrays.items()
        if name.startswith(prefix)
    }
    return import_t5x(write_t5x(tmp_path_factory.mktemp("run"), params, settings=GIN))


def segments(checkpoint, **settings):
    return DiffusionSegments(
        checkpoint.config,
        checkpoint.params,
        schedule=make_schedule(checkpoint.schedule),
        prediction=checkpoint.prediction,
        sampling=checkpoint.sampling.but(**settings),
        dtype=np.float32,
        mesh=make_mesh(jax.devices()[:1]),
    )


def batch_of(arrays, **changes):
    keys = jax.random.split(jax.random.key(5), 3)
    inputs = {name: arrays[name] for name in ("tokens", "context", "context_mask")}
    return SegmentBatch(**{**inputs, **changes}, keys=keys)


def test_both_estimates_are_sampled_as_in_plain_code(arrays, checkpoint):
    batch = batch_of(arrays)
    decoder, sources = networks.Params(arrays)["decoder"], networks.sources_of(arrays)

    def predict(z, time):
        alpha, sigma = plain.alpha_sigma(time)

        def eps(sources):
            x0, eps = np.split(networks.denoise(decoder, z, time, sources), 2, axis=-1)
            # The x0 that follows from eps counts as much as there is signal.
            x0 = sigma**2 * x0 + (1 - sigma**2) * (z - sigma * eps) / alpha
            return (z - alpha * x0) / sigma

        return GUIDANCE * eps(sources) + (1 - GUIDANCE) * eps([])

    def noise(number):
        draw = lambda key: jax.random.normal(jax.random.fold_in(key, number), (16, 128))  # noqa: E731
        return np.stack([np.asarray(draw(key)) for key in batch.keys])

    # Plain code counts its steps down.
    noises = np.stack([noise(STEPS - step) for step in range(STEPS)])
    wanted = plain.sample(predict, "ddpm", STEPS, noise(0), noises)
    found = np.asarray(segments(checkpoint)(batch))
    assert np.abs(wanted).max() == 1
    assert np.mean(np.abs(wanted) < 0.9) > 0.05  # not all is clipped
    np.testing.assert_allclose(found, wanted, atol=5e-3)


def test_a_masked_context_is_none(arrays, checkpoint):
    with_context = np.asarray(segments(checkpoint)(batch_of(arrays)))
    masked = np.asarray(segments(checkpoint, mask_context=True)(batch_of(arrays)))
    nothing = batch_of(
        arrays,
        context=np.zeros_like(arrays["context"]),
        context_mask=np.zeros_like(arrays["context_mask"]),
    )
    np.testing.assert_allclose(masked, np.asarray(segments(checkpoint)(nothing)), atol=1e-5)
    had_context = arrays["context_mask"].any(axis=1)
    assert had_context.any()
    assert np.abs(masked - with_context)[had_context].max() > 0.01
