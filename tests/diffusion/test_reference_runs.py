"""Whole sampling runs through a reference network, against runs of the released implementation."""

import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.diffusion.guidance import guide
from spectrodiff.diffusion.parameterization import to_x0
from spectrodiff.diffusion.sampler import Sampler, run, start
from spectrodiff.diffusion.schedule import CosineSchedule
from tests.support.reference import load_network


@pytest.mark.parametrize("weight", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("name", ["ddpm", "ddim"])
def test_run_meets_reference(golden, name, weight):
    model, arrays = load_network(golden, "context_concat_encodings")
    reference = np.load(golden / "diffusion.npz")
    steps = int(reference["sample_steps"])
    # The reference numbers its steps from N - 1 down to 0.
    drawn = jnp.asarray(reference["sample_noise"])[::-1]

    def sample(model, first, tokens, context, context_mask):
        memory = model.decoder.memory(model.encode(tokens, context, context_mask))

        def denoise(z, row):
            films = model.decoder.films(row.time[None])
            both = model.decoder(jnp.concatenate([z, z]), films, memory)
            eps = guide(both[:3], both[3:], weight)
            return jnp.clip(to_x0("eps", eps, z, row.alpha, row.sigma), -1.0, 1.0)

        table = Sampler(name, steps).table(CosineSchedule())
        noise = (lambda number: drawn[number]) if name == "ddpm" else None
        return run(denoise, start(first), table, noise=noise).z

    inputs = (arrays[key] for key in ("tokens", "context", "context_mask"))
    answer = model.apply(sample, reference["sample_init"], *inputs)
    errors = np.abs(answer - reference[f"sample_{name}_w{weight}"])
    # At t = 1 the noise is divided by alpha = 5e-5, so that the rounding of a single evaluation
    # shows in a few values; on average the runs are the same.
    assert errors.max() < 0.02
    assert errors.mean() < 5e-4
