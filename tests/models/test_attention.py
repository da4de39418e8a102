import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding

from spectrodiff.checkpoints.tree import expected_shapes, nest
from spectrodiff.core.parallel import BATCH, WHOLE, make_mesh
from spectrodiff.models import attention
from spectrodiff.models.attention import Attention, KeyValue, attend, implementation
from spectrodiff.models.config import SIZES
from spectrodiff.models.definition import define
from spectrodiff.models.denoiser import Denoiser
from tests.support.cuda import custom_calls, lower, pretend_gpu

FORWARD, BACKWARD = "__cudnn$fmhaSoftmax", "__cudnn$fmhaSoftmaxBackward"


def test_by_hand():
    # One head of width 2, two keys. The query (ln 3, 0) scores ln 3 and 0: weights 3/4 and 1/4.
    query = jnp.array([[[[np.log(3.0), 0.0]]]])
    keys = jnp.array([[[[1.0, 5.0], [0.0, 7.0]]]])
    values = jnp.array([[[[4.0, 8.0], [0.0, 4.0]]]])
    answer = attend(query, KeyValue(keys, values))
    np.testing.assert_allclose(answer[0, 0, 0], [3.0, 7.0], rtol=1e-6)
    # If the second key does not exist only the first value is left.
    answer = attend(query, KeyValue(keys, values, jnp.array([1])))
    np.testing.assert_allclose(answer[0, 0, 0], [4.0, 8.0], rtol=1e-6)


def numpy_attention(query, keys, values, lengths, causal):
    """Attention in float64, row by row."""
    answer = np.zeros((*query.shape[:3], values.shape[3]))
    for b, h, t in np.ndindex(*query.shape[:3]):
        count = min(lengths[b], t + 1) if causal else lengths[b]
        if count:
            weights = np.exp(keys[b, h, :count] @ query[b, h, t])
            answer[b, h, t] = weights @ values[b, h, :count] / weights.sum()
    return answer


@pytest.fixture
def inputs():
    """Queries, keys, values, weights of the outputs [4, 2, 20, 8]; and lengths, one of them 0."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((4, 2, 20, 8)).astype(np.float32) for _ in range(4)]
    return *arrays, np.array([20, 13, 0, 1], np.int32)


@pytest.fixture(params=["plain", "recomputed", "fused"])
def chosen(request, monkeypatch):
    """Makes an implementation the chosen one and returns its error relative to the largest value.

    The fused kernel is replaced by JAX's own implementation, which takes the same arguments.
    """
    if request.param == "recomputed":
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
        monkeypatch.setattr(attention, "MAX_ROWS", 8)  # three blocks, the last one padded
    if request.param == "fused":
        function = jax.nn.dot_product_attention

        def stand_in(*arrays, implementation, **settings):
            assert implementation == "cudnn"
            return function(*arrays, implementation="xla", **settings)

        monkeypatch.setattr(attention, "has_fused_kernel", lambda: True)
        monkeypatch.setattr(jax.nn, "dot_product_attention", stand_in)
        return jnp.bfloat16, 0.02
    return jnp.float32, 2e-6


@pytest.mark.parametrize("causal", [False, True])
def test_output_is_that_of_plain_attention(chosen, inputs, causal):
    dtype, tolerance = chosen
    *arrays, _, lengths = inputs
    arrays = [np.asarray(jnp.asarray(array, dtype), np.float64) for array in arrays]
    query, keys, values = (jnp.asarray(array, dtype) for array in arrays)
    for given in (lengths, None):
        memory = KeyValue(keys, values, given)
        answer = jax.jit(attend, static_argnames="causal")(query, memory, causal=causal)
        assert answer.dtype == dtype
        expected = numpy_attention(*arrays, np.full(4, 20) if given is None else given, causal)
        error = np.abs(np.asarray(answer, np.float64) - expected).max()
        assert error < tolerance * np.abs(expected).max()
        if given is not None:
            assert np.all(np.asarray(answer[2]) == 0)


@pytest.mark.parametrize("causal", [False, True])
def test_gradient_is_the_slope_of_plain_attention(chosen, inputs, causal):
    dtype, tolerance = chosen
    *arrays, weights, lengths = inputs
    arrays = [np.asarray(jnp.asarray(array, dtype), np.float64) for array in arrays]

    def weighted(query, keys, values):
        answer = attend(query, KeyValue(keys, values, lengths), causal=causal)
        return (answer.astype(jnp.float32) * weights).sum()

    gradients = jax.jit(jax.grad(weighted, argnums=(0, 1, 2)))(
        *(jnp.asarray(array, dtype) for array in arrays)
    )
    step = 1e-4
    for place, gradient in enumerate(gradients):
        assert np.all(np.isfinite(np.asarray(gradient, np.float32)))
        for example in range(4):  # each with its own length
            direction = np.random.default_rng(place).standard_normal(arrays[place].shape)
            direction[np.arange(4) != example] = 0
            ahead, behind = (
                (
                    numpy_attention(
                        *(a + s * direction * (i == place) for i, a in enumerate(arrays)),
                        lengths,
                        causal,
                    )
                    * weights
                ).sum()
                for s in (step, -step)
            )
            slope = np.sum(np.asarray(gradient, np.float64) * direction)
            scale = np.linalg.norm(np.asarray(gradient, np.float64))
            assert slope == pytest.approx((ahead - behind) / (2 * step), abs=5 * tolerance * scale)


def test_large_logits_do_not_overflow():
    query = jnp.full((1, 1, 1, 1), 1e4)
    keys = jnp.array([[[[1.0], [0.0]]]])
    values = jnp.array([[[[2.0], [3.0]]]])
    np.testing.assert_array_equal(attend(query, KeyValue(keys, values)), [[[[2.0]]]])


def test_dropout_drops_probabilities_for_all_queries_alike():
    # With the values an identity matrix the output is the dropped-out probability matrix.
    length = 64
    query = jax.random.normal(jax.random.key(0), (1, 1, 8, 4))
    keys = jax.random.normal(jax.random.key(1), (1, 1, length, 4))
    memory = KeyValue(keys, jnp.eye(length)[None, None])
    # The identity has as many columns as keys, so that a column is one key's probabilities.
    kept = np.asarray(attend(query, memory, rate=0.25, key=jax.random.key(2))[0, 0])
    whole = np.asarray(attend(query, memory)[0, 0])
    ratio = kept / whole
    dropped = ratio[0] == 0
    assert 0.1 < dropped.mean() < 0.4
    np.testing.assert_allclose(
        ratio, np.where(dropped, 0.0, 1 / 0.75)[None].repeat(8, 0), rtol=1e-5
    )


def test_initializers_have_their_variances():
    module = Attention(512, 8, 64, rngs=nnx.Rngs(0))
    assert float(module.key.kernel[...].var()) == pytest.approx(1 / 512, rel=0.03)
    # The query carries the factor 1/sqrt(K) of the logits: variance 1/K as large.
    assert float(module.query.kernel[...].var()) == pytest.approx(1 / 512 / 64, rel=0.03)


@pytest.mark.parametrize(
    ("backend", "dtype", "queries", "head_width", "expected"),
    [
        ("cpu", jnp.float32, 256, 64, "plain"),
        ("cpu", jnp.bfloat16, 256, 64, "plain"),
        ("cpu", jnp.float32, 1024, 64, "recomputed"),
        ("tpu", jnp.bfloat16, 256, 64, "recomputed"),
        ("gpu", jnp.float32, 256, 64, "recomputed"),
        ("gpu", jnp.bfloat16, 256, 64, "fused"),
        ("gpu", jnp.float16, 256, 32, "fused"),
        ("gpu", jnp.bfloat16, 256, 60, "recomputed"),  # not a multiple of 8
        ("gpu", jnp.bfloat16, 256, 256, "recomputed"),  # too wide for Ampere
        ("gpu", jnp.bfloat16, 1, 64, "plain"),
    ],
)
def test_choice_of_implementation(monkeypatch, backend, dtype, queries, head_width, expected):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(attention, "has_fused_kernel", lambda: backend == "gpu")
    query = jnp.zeros((1, 2, queries, head_width), dtype)
    keys = jnp.zeros((1, 2, 704, head_width), dtype)
    assert implementation(query, keys) == expected


@pytest.mark.parametrize(
    ("platform", "capability", "expected"),
    [
        ("gpu", "9.0", True),
        ("gpu", "8.0", True),
        ("gpu", "12.0", True),
        ("gpu", "7.5", False),  # Turing
        ("gpu", "gfx942", False),  # of AMD
        ("cpu", None, False),
    ],
)
def test_devices_with_the_fused_kernel(monkeypatch, platform, capability, expected):
    device = type("Device", (), {"platform": platform, "compute_capability": capability})
    monkeypatch.setattr(jax, "devices", lambda: [device])
    attention.has_fused_kernel.cache_clear()
    try:
        assert attention.has_fused_kernel() == expected
    finally:
        attention.has_fused_kernel.cache_clear()


def test_recomputed_attention_keeps_no_logits():
    array = jax.ShapeDtypeStruct((1, 2, 1024, 8), jnp.float32)

    def kept(*arrays):
        return jax.vjp(lambda q, k, v: attend(q, KeyValue(k, v)), *arrays)[1]

    sizes = [leaf.size for leaf in jax.tree.leaves(jax.eval_shape(kept, array, array, array))]
    assert max(sizes) == array.size


# Sizes whose products of lengths can be told from all others: [T, S] of both encoders, of the
# decoder, and of the cross-attention.
CONFIG = dataclasses.replace(SIZES["tiny"], note_tokens=72, target_frames=40, context_frames=24)
LOGITS = r"x(?:72x72|24x24|40x40|40x96|96x40)x(?:f32|bf16|i1)>"


def denoiser(dtype, *, split=None):
    """A loss of a network and its arguments, as shapes; the batch is split over devices."""
    network = define(Denoiser, CONFIG, dtype=dtype)
    whole, batch = (split and NamedSharding(split, partition) for partition in (WHOLE, BATCH))
    params = {
        name: jax.ShapeDtypeStruct(shape, jnp.float32, sharding=whole)
        for name, shape in expected_shapes(CONFIG).items()
    }
    arguments = [
        jax.ShapeDtypeStruct((16, *shape), dtype, sharding=batch)
        for shape, dtype in (
            ((72,), jnp.int32),
            ((24, 128), jnp.float32),
            ((24,), jnp.bool),
            ((40, 128), jnp.float32),
            ((), jnp.float32),
        )
    ]

    def loss(params, *arguments):
        return jnp.square(network.merge(params)(*arguments, key=jax.random.key(0))).mean()

    return loss, nest(params), *arguments


def test_training_on_a_gpu_in_16_bits_is_fused(monkeypatch):
    loss, *arguments = denoiser(jnp.bfloat16)
    assert re.search(LOGITS, lower(jax.grad(loss), *arguments))
    pretend_gpu(monkeypatch)
    program = lower(jax.grad(loss), *arguments)
    calls = custom_calls(program)
    # Self-attention of two encoders and of the decoder, and the cross-attention; layers are loops.
    assert calls[FORWARD] == calls[BACKWARD] == 4
    assert not re.search(LOGITS, program)


def test_a_batch_on_many_gpus_is_fused(monkeypatch):
    pretend_gpu(monkeypatch)
    mesh = make_mesh(jax.devices())
    loss, *arguments = denoiser(jnp.bfloat16, split=mesh)
    # What the compiler splits over the devices is the kernel, with a rule of JAX's.
    program = lower(jax.grad(loss), *arguments)
    assert custom_calls(program)["CustomSPMDPartitioning"] == 8
    assert not re.search(LOGITS, program)

    @jax.shard_map(mesh=mesh, in_specs=(WHOLE, *[BATCH] * 5), out_specs=WHOLE)
    def on_each(params, *arguments):
        return jax.lax.pmean(loss(params, *arguments), "data")

    calls = custom_calls(lower(jax.grad(on_each), *arguments))
    assert calls[FORWARD] == calls[BACKWARD] == 4
