"""Networks that start from smaller ones compute the same."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.core.errors import CheckpointError
from spectrodiff.models.config import SIZES
from spectrodiff.models.definition import define, init_params
from spectrodiff.models.denoiser import Denoiser
from spectrodiff.music.vocabulary import Vocabulary
from spectrodiff.recipe.growth import grow

SMALL = dataclasses.replace(
    SIZES["tiny"], note_tokens=32, target_frames=16, context_frames=16, mlp_width=96, dropout=0.0
)
LARGE = dataclasses.replace(SMALL, mlp_width=128)


def host(config, seed=0):
    return jax.tree.map(np.asarray, init_params(Denoiser, config, seed))


def tokens(bins, velocity):
    """Token ids of a note on and off of program 40, a drum, and the end of the sequence."""
    vocabulary = Vocabulary(bins)
    events = [
        ("tie", 0), ("shift", 3), ("program", 40), ("velocity", velocity), ("pitch", 60),
        ("drum", 38), ("shift", 9), ("velocity", 0), ("pitch", 60),
    ]  # fmt: skip
    return jnp.array([[int(vocabulary.encode(*event)) for event in events] + [1, 0, 0]])


def predict(config, params, tokens):
    rng = np.random.default_rng(0)
    context, noisy = jnp.asarray(rng.uniform(-1, 1, (2, 1, 16, 128)), jnp.float32)
    model = define(Denoiser, config).merge(jax.tree.map(jnp.asarray, params))
    return model(tokens, context, jnp.ones((1, 16), bool), noisy, jnp.array([0.4]))


@pytest.mark.parametrize(("velocity", "before"), [(1, 1), (17, 1), (32, 1)])
def test_larger_network_with_more_velocities_predicts_the_same(velocity, before):
    given = Checkpoint(SMALL, host(SMALL, 0))
    grown = grow("small", given, host(LARGE, 0), LARGE, Vocabulary(32))
    ours = predict(LARGE, grown, tokens(32, velocity))
    theirs = predict(SMALL, given.params, tokens(1, before))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    # The same ids are other events in this vocabulary.
    assert np.abs(predict(LARGE, grown, tokens(1, 1)) - theirs).max() > 1e-3


def test_new_hidden_units_can_learn():
    given = Checkpoint(SMALL, host(SMALL, 0))
    grown = grow("small", given, host(LARGE, 0), LARGE, Vocabulary(1))
    gate = grown["decoder"]["layers"]["mlp"]["gate"]["kernel"]
    assert np.abs(gate[..., 96:]).min(axis=(0, 1)).max() > 0


def test_longer_position_tables_start_with_the_same_rows():
    longer = dataclasses.replace(SMALL, target_frames=32, note_tokens=64)
    given = Checkpoint(SMALL, host(SMALL, 0))
    grown = grow("small", given, host(longer, 0), longer, Vocabulary(1))
    ours, theirs = grown["decoder"]["positions"], given.params["decoder"]["positions"]
    assert ours.shape == (32, SMALL.width)
    np.testing.assert_allclose(ours[:16], theirs, atol=1e-6)


def test_as_many_positions_are_those_of_the_trained_network():
    given = Checkpoint(SMALL, host(SMALL, 0))
    grown = grow("small", given, host(LARGE, 1), LARGE, Vocabulary(1))
    notes = tokens(1, 1)
    np.testing.assert_allclose(
        predict(LARGE, grown, notes), predict(SMALL, given.params, notes), atol=1e-5
    )


@pytest.mark.parametrize(
    ("config", "seed", "what"),
    [
        (dataclasses.replace(LARGE, width=128), 0, "width 128"),
        (dataclasses.replace(LARGE, mlp_width=64), 0, "mlp_width 64 or less"),
        (dataclasses.replace(LARGE, context_frames=0), 0, "context as well"),
        (dataclasses.replace(LARGE, target_frames=32), 1, "made with the same seed"),
    ],
)
def test_other_networks_are_refused(config, seed, what):
    with pytest.raises(CheckpointError, match=what):
        grow(
            "small",
            Checkpoint(SMALL, host(SMALL, 0)),
            host(config, seed),
            config,
            Vocabulary(1),
        )
