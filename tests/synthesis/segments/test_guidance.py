"""Guidance in a part of the steps, and of notes and context apart, against plain code."""

import dataclasses
import functools
import logging

import jax
import numpy as np
import pytest

from spectrodiff.checkpoints.layouts.t5x import import_t5x
from spectrodiff.core.parallel import make_mesh
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.diffusion.schedule import make_schedule
from spectrodiff.models.denoiser import Decoder
from spectrodiff.synthesis.segments.diffusion import DiffusionSegments
from spectrodiff.synthesis.segments.model import SegmentBatch
from tests.support.checkpoint_writers import write_t5x
from tests.support.plain import diffusion as plain
from tests.support.plain import networks

TIMES = (0.9, 0.7, 0.4, 0.2)
DDIM = Sampling("ddim", 4, guidance=1.5, times=TIMES)


@pytest.fixture(scope="module")
def arrays(golden):
    """A reference network whose output is not small, and inputs for it."""
    arrays = dict(np.load(golden / "network_context_concat_encodings.npz"))
    kernel = np.random.default_rng(0).normal(scale=0.15, size=(32, 128))
    return arrays | {"params/decoder/spec_out_dense/kernel": kernel.astype(np.float32)}


@pytest.fixture(scope="module")
def checkpoint(arrays, tmp_path_factory):
    params = {
        name.removeprefix("params/"): values
        for name, values in arrays.items()
        if name.startswith("params/")
    }
    return import_t5x(write_t5x(tmp_path_factory.mktemp("run"), params))


def segments(checkpoint, sampling, devices=1, **changes):
    return DiffusionSegments(
        dataclasses.replace(checkpoint.config, **changes),
        checkpoint.params,
        schedule=make_schedule(checkpoint.schedule),
        prediction=checkpoint.prediction,
        sampling=sampling,
        dtype=np.float32,
        mesh=make_mesh(jax.devices()[:devices]),
    )


def batch_of(arrays, rows=(0, 1, 2)):
    inputs = {name: arrays[name][list(rows)] for name in ("tokens", "context", "context_mask")}
    return SegmentBatch(**inputs, keys=jax.random.split(jax.random.key(5), 3)[np.array(rows)])


def in_plain_code(arrays, guide):
    """DDIM at TIMES with one call of the network per condition.

    Args:
        guide: (time, nc, n, u) -> output; predictions from notes and context, notes, and nothing.
    """
    decoder = networks.Params(arrays)["decoder"]
    masked = arrays | {"context_mask": np.zeros_like(arrays["context_mask"])}
    conditions = networks.sources_of(arrays), networks.sources_of(masked), []

    def predict(z, time):
        outputs = (networks.denoise(decoder, z, time, sources) for sources in conditions)
        return guide(float(time[0]), *outputs)

    keys = batch_of(arrays).keys
    draw = lambda key: jax.random.normal(jax.random.fold_in(key, 0), (16, 128))  # noqa: E731
    noise = np.stack([np.asarray(draw(key)) for key in keys])
    return plain.sample(predict, "ddim", len(TIMES), noise, np.zeros(4), TIMES)


def compare(found, wanted):
    assert np.mean(np.abs(wanted) < 0.9) > 0.05  # not all is clipped
    np.testing.assert_allclose(np.asarray(found), wanted, atol=5e-3)


CASES = [
    # settings, guided steps, (weight of notes, weight of context)
    ({}, (0.9, 0.7, 0.4, 0.2), (1.5, 1.5)),
    ({"guidance_times": (0.4, 0.7)}, (0.7, 0.4), (1.5, 1.5)),
    ({"guidance_times": (0.0, 0.3)}, (0.2,), (1.5, 1.5)),
    ({"guidance_times": (0.75, 1.0), "guidance": 3.0}, (0.9,), (3.0, 3.0)),
    ({"context_guidance": 3.0}, (0.9, 0.7, 0.4, 0.2), (1.5, 3.0)),
    ({"context_guidance": 0.5, "guidance_times": (0.4, 0.7)}, (0.7, 0.4), (1.5, 0.5)),
    ({"context_guidance": 2.5, "guidance": 1.0}, (0.9, 0.7, 0.4, 0.2), (1.0, 2.5)),
]


@pytest.mark.parametrize(("settings", "guided", "weights"), CASES)
def test_guidance_is_that_of_plain_code(arrays, checkpoint, settings, guided, weights):
    def guide(time, both, notes, neither):
        if time not in guided:
            return both
        return neither + weights[0] * (notes - neither) + weights[1] * (both - notes)

    found = segments(checkpoint, DDIM.but(**settings))(batch_of(arrays))
    compare(found, in_plain_code(arrays, guide))


def test_weights_matter(arrays, checkpoint):
    found = [
        np.asarray(segments(checkpoint, DDIM.but(**settings))(batch_of(arrays)))
        for settings, *_ in CASES
    ]
    had_context = arrays["context_mask"].any(axis=1)
    assert had_context.any()
    for number, one in enumerate(found):
        for other in found[:number]:
            assert np.abs(one - other)[had_context].max() > 0.05


def test_equal_weights_are_one_weight(arrays, checkpoint):
    one = np.asarray(segments(checkpoint, DDIM)(batch_of(arrays)))
    equal = segments(checkpoint, DDIM.but(context_guidance=1.5))
    np.testing.assert_array_equal(one, np.asarray(equal(batch_of(arrays))))
    # Three evaluations instead of two, of nearly the same weights.
    nearly = segments(checkpoint, DDIM.but(context_guidance=1.5 + 1e-6))
    assert (equal.evaluations, nearly.evaluations) == (8, 12)
    np.testing.assert_allclose(one, np.asarray(nearly(batch_of(arrays))), atol=2e-4)


def test_trial_steps_are_counted_by_their_cost(arrays, checkpoint):
    # The first step has one evaluation, a segment 6: a step of mean cost has 1.5.
    model = segments(checkpoint, DDIM.but(guidance_times=(0.4, 0.7)))
    assert next(model.try_steps(batch_of(arrays))) == pytest.approx(1 / 1.5)
    assert next(segments(checkpoint, DDIM).try_steps(batch_of(arrays))) == 1


def test_apart_on_several_devices(arrays, checkpoint):
    sampling = DDIM.but(context_guidance=3.0, guidance_times=(0.4, 0.7))
    rows = (0, 1, 2, 0)
    alone = np.asarray(segments(checkpoint, sampling)(batch_of(arrays, rows)))
    spread = segments(checkpoint, sampling, devices=2)(batch_of(arrays, rows))
    np.testing.assert_allclose(np.asarray(spread), alone, atol=1e-4)


def test_models_without_context_ignore_its_weight(golden, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    arrays = dict(np.load(golden / "network_no_context.npz"))
    params = {
        name.removeprefix("params/"): values
        for name, values in arrays.items()
        if name.startswith("params/")
    }
    checkpoint = import_t5x(write_t5x(tmp_path, params))
    model = segments(checkpoint, DDIM.but(context_guidance=3.0))
    assert model.evaluations == 8
    assert "this model has no context: it ignores context_guidance" in caplog.text


@pytest.fixture(scope="module")
def evaluated():
    """Numbers of rows that networks compiled from now on are evaluated for; for the last tests."""
    rows = []
    decode = Decoder.__call__

    def counted(self, noisy, *others, **more):
        jax.debug.callback(functools.partial(rows.append, len(noisy)))
        return decode(self, noisy, *others, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Decoder, "__call__", counted)
        yield rows


@pytest.mark.parametrize(
    ("settings", "evaluations"),
    [
        ({}, 8),
        ({"guidance": 1.0}, 4),
        ({"guidance_times": (0.4, 0.7)}, 6),
        ({"context_guidance": 3.0}, 12),
        ({"context_guidance": 3.0, "guidance_times": (0.4, 0.7)}, 8),
    ],
)
def test_evaluations_that_are_run(arrays, checkpoint, evaluated, settings, evaluations):
    evaluated.clear()
    # A network of its own, because programs are kept; dropout has no effect in sampling.
    model = segments(checkpoint, DDIM.but(**settings), dropout=0.123)
    progress = []
    jax.block_until_ready(model(batch_of(arrays), progress.append))
    jax.effects_barrier()
    assert sum(evaluated) == 3 * evaluations
    assert DDIM.but(**settings).evaluations == model.evaluations == evaluations
    assert sum(progress) == model.steps == 4
