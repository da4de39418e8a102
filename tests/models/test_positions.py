import dataclasses
from typing import get_args

import numpy as np
import pytest
from flax import nnx

from spectrodiff.checkpoints.tree import expected_shapes, flatten, nest
from spectrodiff.core.errors import ConfigError
from spectrodiff.models.config import SIZES, PositionTable
from spectrodiff.models.positions import (
    Positioned,
    random_phase_positions,
    sinusoid_positions,
)
from spectrodiff.training.optimizers import split_fixed
from tests.support.plain import networks as plain
from tests.support.reference import NETWORKS, TINY_CONTEXT, build, load_network

TRAINED = ("random_phase_trained", "random_trained")


def test_sinusoid_positions_by_hand():
    # Width 4: timescales 1 and 10,000; row 3.
    expected = [np.sin(3.0), np.sin(3e-4), np.cos(3.0), np.cos(3e-4)]
    np.testing.assert_allclose(sinusoid_positions(5, 4)[3], expected, rtol=1e-5)


def test_random_phase_positions_are_permuted_sinusoids():
    table = np.asarray(random_phase_positions(2048, 16, nnx.Rngs(3)))
    # A sinusoid x satisfies x[n-1] + x[n+1] = 2 cos(rate) x[n], whatever its phase.
    rates = np.exp(-np.arange(8) * np.log(10_000.0) / 7)
    found = (table[:-2] + table[2:]).ravel("F").reshape(16, -1)
    middle = table[1:-1].T
    factor = (found * middle).sum(axis=1) / (middle**2).sum(axis=1)
    np.testing.assert_allclose(np.sort(factor), np.sort(np.tile(2 * np.cos(rates), 2)), atol=1e-3)
    # Each of the 16 columns has a phase of its own, and their order is not that of their rates.
    assert len(np.unique(table[0].round(4))) == 16
    assert not np.all(np.diff(factor[:8]) >= 0)


def table(kind, length=200):
    module = Positioned()
    module.add_positions(kind, length, 32, nnx.Rngs(3))
    assert hasattr(module, "trained_positions") == (kind in TRAINED)
    return np.asarray(module.position_rows)


def test_tables():
    np.testing.assert_allclose(table("sinusoid"), plain.sinusoids(200, 32), atol=1e-4)
    phases = np.asarray(random_phase_positions(200, 32, nnx.Rngs(3)))
    np.testing.assert_array_equal(table("random_phase"), phases)
    np.testing.assert_array_equal(table("random_phase_trained"), phases)
    normal = table("random_trained", 2000)
    assert normal.mean() == pytest.approx(0, abs=0.003)
    assert normal.var() == pytest.approx(1 / 32, rel=0.03)
    assert np.abs(normal).max() > 2.5 / np.sqrt(32)  # not truncated at two deviations


@pytest.mark.parametrize("kind", get_args(PositionTable))
def test_optimizers_see_tables_that_are_trained(kind):
    shapes = expected_shapes(dataclasses.replace(TINY_CONTEXT, positions=kind))
    trained, fixed = map(flatten, split_fixed(nest(shapes)))
    name = "trained_positions" if kind in TRAINED else "positions"
    wanted = {f"{stack}/{name}" for stack in ("note_encoder", "context_encoder", "decoder")}
    tables = {name for name in (*trained, *fixed) if name.endswith("positions")}
    assert tables == wanted
    assert tables <= set(trained if kind in TRAINED else fixed)


@pytest.mark.parametrize("from_end", [True, False])
def test_context_is_counted_from_either_end(golden, from_end):
    model, arrays = load_network(golden, "context_concat_encodings")
    origin = "from_end" if from_end else "from_start"
    config = dataclasses.replace(TINY_CONTEXT, context_positions=origin)
    context, mask = arrays["context"], np.arange(16) < np.array([[16], [5], [0]])
    params = plain.Params(arrays)["continuous_encoder"]
    # The newest valid frame has the last row, or the oldest one the first.
    shifts = np.array([16, 5, 0]) if from_end else np.zeros(3, int)
    rows = params.array("Embed_0/embedding")
    placed = np.stack([np.roll(rows, shift, axis=0) for shift in shifts])
    embedded = params.dense("input_proj", context.astype(float)) + placed
    wanted = plain.encoder(params, embedded, mask)
    network = build(config, model.params)
    inputs = arrays["tokens"], context, mask
    encoded = network.apply(lambda model, *inputs: model.encode(*inputs)[1].values, *inputs)
    np.testing.assert_allclose(np.asarray(encoded)[mask], wanted[mask], atol=1e-5)


def test_choices_without_a_meaning_are_refused():
    without = dataclasses.replace(SIZES["tiny"], context_frames=0)
    with pytest.raises(ConfigError, match=r"context_positions: expected 'from_end' without con"):
        dataclasses.replace(without, context_positions="from_start")
    for name, value in (("positions", "sinusoid"), ("estimates", 2)):
        with pytest.raises(ConfigError, match=f"ModelConfig.{name}: .* in an autoregressive net"):
            dataclasses.replace(without, kind="autoregressive", **{name: value})
    with pytest.raises(ConfigError, match=r"expected 'random_phase' or .*, got 'learned'"):
        dataclasses.replace(without, positions="learned")


def test_two_estimates_double_the_output():
    shapes = expected_shapes(dataclasses.replace(NETWORKS["no_context"], estimates=2))
    assert shapes["decoder/output/kernel"] == (32, 256)
    assert shapes["decoder/input/kernel"] == (128, 32)
