import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spectrodiff.checkpoints.tree import expected_shapes
from spectrodiff.core.errors import ConfigError
from spectrodiff.models.attention import KeyValue
from spectrodiff.models.config import SIZES
from spectrodiff.models.definition import define
from spectrodiff.models.denoiser import DecoderLayer, Denoiser, Films, time_embedding
from spectrodiff.models.encoders import Encoding, join
from tests.support.reference import (
    NETWORKS,
    TINY_CONTEXT,
    build,
    load_network,
    random_params,
)

# At times of 0.5 and more, one rounding step of the time turns the fastest sinusoids of its
# embedding enough to move the output by 5e-4; at 0.03 agreement shows the rest of the network.
TOLERANCES = np.array([2e-5, 5e-4, 5e-4])


def unconditional(model, noisy, time):
    return model.decoder(noisy, model.decoder.films(time), ())


@pytest.mark.parametrize("name", list(NETWORKS))
def test_output_meets_reference(golden, name):
    model, arrays = load_network(golden, name)
    inputs = (arrays.get(key) for key in ("tokens", "context", "context_mask", "noisy", "time"))
    errors = np.abs(model(*inputs) - arrays["output"]).max(axis=(1, 2))
    assert np.all(errors < TOLERANCES), errors


@pytest.mark.parametrize("name", ["context_concat_encodings", "context_sum_cross_attends"])
def test_encodings_meet_reference(golden, name):
    model, arrays = load_network(golden, name)
    encodings = model.apply(
        Denoiser.encode, arrays["tokens"], arrays["context"], arrays["context_mask"]
    )
    for encoding, key in zip(encodings, ("tokens", "context"), strict=True):
        # What is encoded at padding is of no concern, since it is never attended to.
        difference = np.asarray(encoding.values - arrays[f"{key}_encoded"])
        exists = np.arange(difference.shape[1]) < np.asarray(encoding.lengths)[:, None]
        np.testing.assert_allclose(difference[exists], 0.0, atol=1e-5)


def test_joined_encodings_by_hand():
    notes = jnp.arange(8.0).reshape(2, 4, 1) + 1  # 1 to 4, and 5 to 8
    context = jnp.arange(6.0).reshape(2, 3, 1) + 11  # 11 to 13, and 14 to 16
    lengths = jnp.array([[2, 0], [1, 3]])

    def joined(notes, context):
        return join([Encoding(notes, lengths[0]), Encoding(context, lengths[1])])

    values, totals = joined(notes, context)
    np.testing.assert_array_equal(totals, [3, 3])
    # What exists comes first; then what does not.
    np.testing.assert_array_equal(values[0, :, 0], [1, 2, 11, 3, 4, 12, 13])
    np.testing.assert_array_equal(values[1, :, 0], [14, 15, 16, 5, 6, 7, 8])
    # The gradient of each place goes back to where its value came from.
    weights = jnp.arange(14.0).reshape(2, 7, 1)
    back = jax.grad(lambda n, c: (joined(n, c).values * weights).sum(), argnums=(0, 1))
    notes_grad, context_grad = back(notes, context)
    np.testing.assert_array_equal(notes_grad[..., 0], [[0, 1, 3, 4], [10, 11, 12, 13]])
    np.testing.assert_array_equal(context_grad[..., 0], [[2, 5, 6], [7, 8, 9]])


@pytest.mark.parametrize("name", ["context_concat_encodings", "context_sum_cross_attends"])
def test_gradient_is_finite_if_there_is_nothing_to_attend_to(golden, name):
    model, arrays = load_network(golden, name)
    inputs = (arrays[key] for key in ("tokens", "context", "context_mask", "noisy", "time"))
    tokens, context, context_mask, *rest = map(jnp.asarray, inputs)

    def loss(params):
        network = model.definition.merge(params)
        nothing = jnp.zeros_like(tokens), context, jnp.zeros_like(context_mask)
        return jnp.square(network(*nothing, *rest)).mean()

    gradient = jax.jit(jax.grad(loss))(model.params)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
    # The cross-attention adds exactly zero, so that neither it nor the encoders have any effect.
    for part in (
        gradient["note_encoder"],
        gradient["context_encoder"],
        gradient["decoder"]["layers"]["cross_attention"],
    ):
        assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(part))
    assert np.any(np.asarray(gradient["decoder"]["layers"]["mlp"]["up"]["kernel"]) != 0)


@pytest.mark.parametrize("name", ["context_concat_encodings", "context_sum_cross_attends"])
def test_nothing_to_attend_to_and_everything_masked_are_the_same(golden, name):
    model, arrays = load_network(golden, name)
    noisy, time = arrays["noisy"], arrays["time"]
    without = model.apply(unconditional, noisy, time)
    masked = model(
        np.zeros_like(arrays["tokens"]),
        arrays["context"],
        np.zeros_like(arrays["context_mask"]),
        noisy,
        time,
    )
    np.testing.assert_array_equal(without, masked)
    errors = np.abs(without - arrays["output_unconditional"]).max(axis=(1, 2))
    assert np.all(errors < TOLERANCES), errors


def test_rows_beyond_the_memory_are_unconditional(golden):
    model, arrays = load_network(golden, "context_concat_encodings")
    inputs = [arrays[key] for key in ("tokens", "context", "context_mask", "noisy")]
    time = jnp.full(1, 0.03)

    def both(model, tokens, context, context_mask, noisy):
        memory = model.decoder.memory(model.encode(tokens, context, context_mask))
        twice = jnp.concatenate([noisy, noisy])
        return model.decoder(twice, model.decoder.films(time), memory)

    answer = model.apply(both, *inputs)
    np.testing.assert_allclose(answer[:3], model(*inputs, jnp.full(3, 0.03)), atol=2e-5)
    np.testing.assert_allclose(
        answer[3:], model.apply(unconditional, arrays["noisy"], time), atol=2e-5
    )


def test_unrolled_layers_are_the_layers_and_a_loop_over_steps_holds_no_stack(golden):
    model, arrays = load_network(golden, "context_sum_cross_attends")
    inputs = [arrays[key] for key in ("tokens", "context", "context_mask", "noisy")]

    def last_of_seven(model, tokens, context, context_mask, noisy):
        memory = model.decoder.memory(model.encode(tokens, context, context_mask))
        decode, films = model.decoder.unrolled(memory), model.decoder.films(jnp.full(1, 0.03))
        twice = jnp.concatenate([noisy, noisy])
        return jax.lax.fori_loop(0, 7, lambda _, last: 0 * last + decode(twice, films), 0 * twice)

    answer = model.apply(last_of_seven, *inputs)
    np.testing.assert_allclose(answer[:3], model(*inputs, jnp.full(3, 0.03)), atol=2e-5)
    layers = model.params["decoder"]["layers"]
    stacks = {leaf.shape for leaf in jax.tree.leaves(layers) if leaf.ndim == 3}
    traced = jax.make_jaxpr(lambda *inputs: model.apply(last_of_seven, *inputs))(*inputs)
    loops = [equation for equation in _equations(traced.jaxpr) if equation.primitive.name == "scan"]
    (steps,) = [loop for loop in loops if loop.params["length"] == 7]
    assert not stacks & {variable.aval.shape for variable in steps.invars}
    layer = {leaf.shape[1:] for leaf in jax.tree.leaves(layers["mlp"])}
    assert layer <= {variable.aval.shape for variable in steps.invars}


def _equations(jaxpr):
    """All equations, those of called functions included."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            if isinstance(inner := getattr(value, "jaxpr", None), type(jaxpr)):
                yield from _equations(inner)


def test_padding_of_the_notes_changes_nothing(golden):
    model, arrays = load_network(golden, "context_concat_encodings")
    rows = np.flatnonzero(arrays["tokens"][:, -8:].sum(axis=1) == 0)
    assert len(rows)
    tokens, *rest = (
        arrays[key][rows] for key in ("tokens", "context", "context_mask", "noisy", "time")
    )
    np.testing.assert_allclose(model(tokens[:, :-8], *rest), model(tokens, *rest), atol=2e-5)


def test_examples_of_a_batch_do_not_touch_one_another(golden):
    model, arrays = load_network(golden, "context_concat_encodings")
    inputs = [arrays[key] for key in ("tokens", "context", "context_mask", "noisy", "time")]
    together = model(*inputs)
    for row in range(3):
        alone = model(*(array[row : row + 1] for array in inputs))
        np.testing.assert_allclose(alone[0], together[row], atol=2e-5)


def test_published_sizes():
    def millions(config):
        return round(sum(np.prod(s) for s in expected_shapes(config).values()) / 1e6)

    assert millions(SIZES["base"]) == 412
    assert millions(SIZES["small"]) == 104
    assert millions(dataclasses.replace(SIZES["small"], context_frames=0)) == 85


def test_bfloat16_stays_near_float32_and_answers_in_float32(golden):
    model, arrays = load_network(golden, "context_concat_encodings")
    inputs = [arrays[key] for key in ("tokens", "context", "context_mask", "noisy", "time")]
    half = build(TINY_CONTEXT, model.params, dtype=jnp.bfloat16)(*inputs)
    assert half.dtype == jnp.float32
    # Eight bits of mantissa through three layers, on outputs of unit size.
    assert float(jnp.abs(half - arrays["output"]).mean()) < 0.03


def test_rematerialized_gradient_is_the_gradient(golden):
    _, arrays = load_network(golden, "no_context")
    tokens, noisy, time = (jnp.asarray(arrays[key]) for key in ("tokens", "noisy", "time"))
    config = dataclasses.replace(NETWORKS["no_context"], encoder_layers=1, decoder_layers=2)
    params = random_params(config)

    def gradient(remat):
        definition = define(Denoiser, config, remat=remat)
        key = jax.random.key(1, impl="rbg")  # compiles faster than the default

        def loss(params):
            output = definition.merge(params)(tokens, None, None, noisy, time, key=key)
            return jnp.mean(output**2)

        return jax.jit(jax.grad(loss))(params)

    for kept, recomputed in zip(
        jax.tree.leaves(gradient(False)), jax.tree.leaves(gradient(True)), strict=True
    ):
        np.testing.assert_allclose(kept, recomputed, atol=1e-6)


def test_dropout_follows_its_key(golden):
    model, arrays = load_network(golden, "context_concat_encodings")
    inputs = [arrays[key] for key in ("tokens", "context", "context_mask", "noisy", "time")]
    first = model(*inputs, key=jax.random.key(1))
    np.testing.assert_array_equal(first, model(*inputs, key=jax.random.key(1)))
    assert float(jnp.abs(first - model(*inputs, key=jax.random.key(2))).mean()) > 1e-2
    assert float(jnp.abs(first - model(*inputs)).mean()) > 1e-2


def test_each_source_of_summed_cross_attention_is_dropped_out_by_itself():
    """Only the cross-attention adds anything: 1 from the notes and 10 from the context."""
    width, keys = 32, 4096
    config = dataclasses.replace(
        TINY_CONTEXT, width=width, heads=1, head_width=width, cross_attention="sum", dropout=0.5
    )
    layer = DecoderLayer(config, dtype=jnp.float32, rngs=nnx.Rngs(0))
    for silent in (layer.self_attention.out, layer.mlp.down):
        silent.kernel[...] = jnp.zeros_like(silent.kernel[...])
    memory = []
    for source, value in (("notes", 1.0), ("context", 10.0)):
        layer.cross_attention[source].out.kernel[...] = jnp.eye(width)
        # All keys are alike. So many average out the dropout of the attention's probabilities.
        alike = jnp.ones((1, 1, keys, width))
        memory.append(KeyValue(alike, value * alike))
    films = Films(*jnp.zeros((2, 1, 2 * width)))
    x = jnp.zeros((1, 16, width))
    run = jax.jit(lambda key: layer(x, films, tuple(memory), key=key))
    added = np.concatenate([np.asarray(run(jax.random.key(seed)))[0] for seed in range(8)], axis=1)
    # One mask for all frames.
    np.testing.assert_array_equal(added, added[:1].repeat(16, axis=0))
    wanted = np.array([0.0, 2.0, 20.0, 22.0])
    nearest = np.abs(added[0][:, None] - wanted).argmin(axis=1)
    np.testing.assert_allclose(added[0], wanted[nearest], rtol=0.1, atol=0.1)
    # 256 channels: each of the four cases has 64 of them, with a standard deviation of 7.
    assert np.all(np.bincount(nearest, minlength=4) > 30)


def test_time_embedding_by_hand():
    # Width 4: frequencies 1 and 1/20000, times 20000 t.
    t = 0.0001
    expected = [np.sin(2.0), np.sin(1e-4), np.cos(2.0), np.cos(1e-4)]
    np.testing.assert_allclose(time_embedding(jnp.array([t]), 4)[0], expected, rtol=1e-5)


def test_impossible_sizes_are_named():
    with pytest.raises(
        ConfigError, match=r"ModelConfig.heads: expected a whole number from 1 to 1024, got 0"
    ):
        dataclasses.replace(TINY_CONTEXT, heads=0)
    for changes in ({}, {"kind": "autoregressive", "context_frames": 0}):
        with pytest.raises(ConfigError, match=r"ModelConfig.width: expected an even number.*got 7"):
            dataclasses.replace(TINY_CONTEXT, width=7, **changes)
    with pytest.raises(ConfigError, match=r"ModelConfig.dropout: expected a rate in \[0, 1\)"):
        dataclasses.replace(TINY_CONTEXT, dropout=1.0)
    with pytest.raises(ConfigError, match=r"'concatenate' without context, got 'sum'"):
        dataclasses.replace(TINY_CONTEXT, cross_attention="sum", context_frames=0)
    with pytest.raises(ConfigError, match=r"'concatenate' or 'sum', got 'both'"):
        dataclasses.replace(TINY_CONTEXT, cross_attention="both")
