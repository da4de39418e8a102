import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.checkpoints.layouts.names import t5x_sources
from spectrodiff.checkpoints.tree import StoredArray, assemble, expected_shapes
from spectrodiff.core.errors import ConfigError
from spectrodiff.models.autoregressive import (
    Autoregressor,
    begin,
    loss,
    sample,
    write_frames,
)
from spectrodiff.models.config import SIZES
from spectrodiff.models.definition import define, init_params
from tests.support.reference import TINY_CONTEXT

TINY = dataclasses.replace(TINY_CONTEXT, kind="autoregressive", context_frames=0)


@functools.cache
def load(golden: Path):
    """The reference weights in our tree, and the other arrays of the file."""
    path = golden / "network_autoregressive.npz"
    arrays = dict(np.load(path))
    stored = {
        name.removeprefix("params/"): StoredArray(values.shape, lambda values=values: values)
        for name, values in arrays.items()
        if name.startswith("params/")
    }
    return assemble(path, TINY, t5x_sources(TINY), stored), arrays


@functools.partial(jax.jit, static_argnums=(0, 1))
def run(function, settings, params, *inputs, **keywords):
    """function(network, *inputs), compiled."""
    model = define(Autoregressor, TINY, **dict(settings)).merge(params)
    return function(model, *inputs, **keywords)


def teacher_forced(model, tokens, log_mel, key=None):
    return model(tokens, log_mel, key=key)


def sampled(model, tokens, keys, dither):
    return sample(model, tokens, keys, dither=dither)


def predict(params, tokens, log_mel, **keywords):
    return run(teacher_forced, (), params, tokens, log_mel, **keywords)


def keys_of(*seeds):
    return jnp.stack([jax.random.key(seed) for seed in seeds])


def test_teacher_forced_output_meets_reference(golden):
    params, arrays = load(golden)
    output = predict(params, arrays["tokens"], arrays["targets"])
    np.testing.assert_allclose(output, arrays["output_teacher_forced"], atol=2e-5)


def test_loss_meets_reference(golden):
    params, arrays = load(golden)
    losses = run(loss, (), params, arrays["tokens"], arrays["targets"])
    assert losses.shape == (3,)
    np.testing.assert_allclose(losses.sum(), arrays["loss_sum"], rtol=1e-5)
    squared = (arrays["output_teacher_forced"] - arrays["targets"]) ** 2
    np.testing.assert_allclose(losses, squared.mean(axis=2).sum(axis=1), rtol=1e-4)


def test_free_running_output_meets_reference(golden):
    params, arrays = load(golden)
    frames = run(sampled, (), params, arrays["tokens"], keys_of(0, 1, 2), 0.0)
    np.testing.assert_allclose(frames, arrays["output_free_running"], atol=5e-5)


def test_dithered_frames_are_predictions_with_the_noise_that_is_fed_back(golden):
    """The cached steps against the whole network, which is fed the same frames."""
    params, arrays = load(golden)
    keys = keys_of(5, 6, 7)
    frames = np.asarray(run(sampled, (), params, arrays["tokens"], keys, 0.2))
    noise = frames - np.asarray(predict(params, arrays["tokens"], frames))
    # 6,144 numbers: the standard errors are 0.0026 and 0.0018.
    assert noise.mean() == pytest.approx(0.0, abs=0.012)
    assert noise.std() == pytest.approx(0.2, abs=0.008)
    for row, key in enumerate(keys):
        drawn = [jax.random.normal(jax.random.fold_in(key, step), (128,)) for step in range(16)]
        np.testing.assert_allclose(noise[row], 0.2 * np.stack(drawn), atol=5e-5)


def test_frames_can_be_written_in_pieces(golden):
    params, arrays = load(golden)
    keys = keys_of(5, 6, 7)

    def pieces(model, tokens, keys):
        cross = model.decoder.memory(model.note_encoder(tokens))
        writing = begin(TINY, 3, jnp.float32)
        for first, count in [(0, 5), (5, 1), (6, 10)]:
            writing = write_frames(model.decoder, writing, cross, keys, first=first, count=count)
        return writing.frames

    whole = run(sampled, (), params, arrays["tokens"], keys, 0.2)
    np.testing.assert_allclose(run(pieces, (), params, arrays["tokens"], keys), whole, atol=1e-5)


def test_an_examples_frames_depend_on_its_own_notes_and_key_only(golden):
    params, arrays = load(golden)
    tokens = arrays["tokens"]
    together = run(sampled, (), params, tokens, keys_of(5, 6, 7), 0.2)
    alone = run(sampled, (), params, tokens[1:2], keys_of(6), 0.2)
    np.testing.assert_allclose(alone[0], together[1], atol=5e-5)
    other = run(sampled, (), params, tokens[1:2], keys_of(8), 0.2)
    assert np.all(np.abs(other[0] - alone[0]).mean(axis=-1) > 0.1)


def test_no_frame_depends_on_itself_or_on_later_ones(golden):
    params, arrays = load(golden)
    changed = arrays["targets"].copy()
    changed[:, 7:] += 1.0
    before, after = (predict(params, arrays["tokens"], x) for x in (arrays["targets"], changed))
    difference = np.abs(np.asarray(before - after)).max(axis=(0, 2))
    assert np.all(difference[:8] == 0.0)
    assert np.all(difference[8:] > 1e-3)


def test_shorter_rows_of_tokens_mean_the_same(golden):
    """The encoder sees padding, so that it must always be all of it."""
    params, arrays = load(golden)
    lengths = np.count_nonzero(arrays["tokens"], axis=1)
    row = int(np.argmin(lengths))
    tokens, targets = arrays["tokens"][row : row + 1], arrays["targets"][row : row + 1]
    short = predict(params, tokens[:, : lengths[row]], targets)
    # Sums over rows of other lengths are rounded in another order, on some processors to 2e-6.
    np.testing.assert_allclose(short, predict(params, tokens, targets), atol=1e-5)


def test_published_size():
    small = dataclasses.replace(SIZES["small"], kind="autoregressive", context_frames=0)
    count = sum(np.prod(shape) for shape in expected_shapes(small).values())
    assert round(count / 1e6) == 45


def test_dropout_follows_its_key(golden):
    params, arrays = load(golden)
    tokens, targets = arrays["tokens"], arrays["targets"]
    key, other = (jax.random.key(seed, impl="rbg") for seed in (1, 2))
    first = predict(params, tokens, targets, key=key)
    np.testing.assert_array_equal(first, predict(params, tokens, targets, key=key))
    assert np.abs(first - predict(params, tokens, targets, key=other)).mean() > 1e-2


def test_rematerialized_gradient_is_the_gradient(golden):
    _, arrays = load(golden)
    inputs = jnp.asarray(arrays["tokens"]), jnp.asarray(arrays["targets"])
    config = dataclasses.replace(TINY, encoder_layers=1, decoder_layers=1)
    params = init_params(Autoregressor, config, 0)

    def gradient(remat):
        definition = define(Autoregressor, config, remat=remat)
        key = jax.random.key(1, impl="rbg")  # compiles faster than the default
        mean_loss = lambda params: loss(definition.merge(params), *inputs, key=key).mean()  # noqa: E731
        return jax.jit(jax.grad(mean_loss))(params)

    for kept, recomputed in zip(*map(jax.tree.leaves, map(gradient, (False, True))), strict=True):
        np.testing.assert_allclose(kept, recomputed, rtol=1e-4, atol=1e-3)


def test_bfloat16_stays_near_float32(golden):
    params, arrays = load(golden)
    inputs = arrays["tokens"], arrays["targets"]
    half = run(teacher_forced, (("dtype", jnp.bfloat16),), params, *inputs)
    assert half.dtype == jnp.float32
    assert np.abs(half - arrays["output_teacher_forced"]).mean() < 0.03


def test_impossible_configurations():
    with pytest.raises(ConfigError, match="context_frames: expected 0 for an autoregressive"):
        dataclasses.replace(SIZES["small"], kind="autoregressive")
    with pytest.raises(ConfigError, match="'diffusion' or 'autoregressive', got 'gan'"):
        dataclasses.replace(SIZES["small"], kind="gan")
