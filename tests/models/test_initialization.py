"""Distribution of initial kernels; aligned initialization, and what attention then attends to."""

import dataclasses

import jax
import numpy as np
import pytest

from spectrodiff.checkpoints.tree import flatten
from spectrodiff.core.errors import ConfigError
from spectrodiff.models.config import SIZES
from spectrodiff.models.definition import init_params
from spectrodiff.models.denoiser import Denoiser
from spectrodiff.models.initialization import align_attention
from spectrodiff.music.vocabulary import RELEASED_VOCABULARY

HEADS, HEAD_WIDTH, FRAMES = 4, 32, 48
CONFIG = dataclasses.replace(
    SIZES["tiny"],
    width=128,
    heads=HEADS,
    head_width=HEAD_WIDTH,
    target_frames=FRAMES,
    context_frames=16,
    note_tokens=64,
)


def shift(step: int) -> int:
    return int(RELEASED_VOCABULARY.encode("shift", step))


@pytest.fixture(scope="module")
def before():
    return init_params(Denoiser, CONFIG, 0)


@pytest.fixture(scope="module")
def after(before):
    # Under jit, as at the start of a run.
    return jax.tree.map(np.asarray, jax.jit(lambda: align_attention(before, HEADS))())


def normed(rows):
    return rows / np.sqrt(np.mean(rows**2, axis=-1, keepdims=True))


def weights(attention, layer, queries, keys):
    """Attention probabilities [H, T, S], written out."""

    def project(rows, name):
        return (normed(rows) @ attention[name]["kernel"][layer]).reshape(len(rows), HEADS, -1)

    logits = np.einsum("thk,shk->hts", project(queries, "query"), project(keys, "key"))
    scores = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return scores / scores.sum(axis=-1, keepdims=True)


def nearest(scores):
    return scores.argmax(axis=-1)


def sequence(encoder, tokens):
    return encoder["embedding"][tokens] + encoder["positions"][: len(tokens)]


def test_kernels_of_attention_are_normal_and_all_others_truncated(before):
    """Mean fourth powers, of unit variance: 3, and 2.37 without the values beyond two deviations.

    The truncated distribution is widened to the variance before, so it ends at 2 / 0.8796.
    """
    attention = {"query", "key", "value", "out"}
    checked = set()
    for name, values in flatten(jax.tree.map(np.asarray, before)).items():
        *path, role, kind = name.split("/")
        if kind != "kernel" or values.size < 10_000:
            continue
        in_attention = role in attention and bool(path) and "attention" in path[-1]
        fan_in = values.shape[-2] * (HEAD_WIDTH if in_attention and role == "query" else 1)
        scaled = values * np.sqrt(fan_in)
        assert scaled.std() == pytest.approx(1.0, abs=0.03), name
        fourth = np.mean(scaled**4) / np.mean(scaled**2) ** 2
        if in_attention:
            assert fourth == pytest.approx(3.0, abs=0.25), name
            assert np.abs(scaled).max() > 3.0, name
        else:
            assert fourth == pytest.approx(2.37, abs=0.1), name
            assert np.abs(scaled).max() < 2.0 / 0.8796 + 1e-4, name
        checked.add((path[-1] if path else "", role))
    assert {("cross_attention", role) for role in attention} <= checked
    assert {("self_attention", role) for role in attention} <= checked
    assert {("mlp", "gate"), ("layers", "mlp_film"), ("decoder", "output")} <= checked


def test_only_embeddings_inputs_and_attention_change(before, after):
    drawn, aligned = (flatten(jax.tree.map(np.asarray, tree)) for tree in (before, after))
    assert drawn.keys() == aligned.keys()
    assert {name: a.shape for name, a in drawn.items()} == {
        name: a.shape for name, a in aligned.items()
    }
    changed = {name for name in drawn if not np.array_equal(drawn[name], aligned[name])}
    assert changed == {
        "note_encoder/embedding",
        "note_encoder/layers/attention/query/kernel",
        "note_encoder/layers/attention/key/kernel",
        "note_encoder/layers/attention/value/kernel",
        "note_encoder/layers/attention/out/kernel",
        "context_encoder/input/kernel",
        "context_encoder/layers/attention/query/kernel",
        "context_encoder/layers/attention/key/kernel",
        "decoder/input/kernel",
        "decoder/layers/self_attention/query/kernel",
        "decoder/layers/self_attention/key/kernel",
        "decoder/layers/cross_attention/query/kernel",
        "decoder/layers/cross_attention/key/kernel",
    }


def test_embeddings_have_unit_rms(after):
    embedding = after["note_encoder"]["embedding"]
    np.testing.assert_allclose(np.mean(embedding**2, axis=1), 1.0, rtol=1e-4)


def test_heads_of_the_note_encoder_attend_to_preceding_tokens(after):
    tokens = np.random.default_rng(0).integers(1005, 1100, 40)
    rows = sequence(after["note_encoder"], tokens)
    found = nearest(weights(after["note_encoder"]["layers"]["attention"], 0, rows, rows))
    places = np.arange(8, 40)
    for head, back in enumerate((1, 2, 3, 4)):
        assert np.mean(np.abs(found[head, 8:] - (places - back)) <= 1) > 0.9, back


def test_frames_attend_to_neighboring_frames(after):
    decoder = after["decoder"]
    noise = np.random.default_rng(1).standard_normal((FRAMES, 128)).astype(np.float32)
    rows = noise @ decoder["input"]["kernel"] + decoder["positions"]
    found = nearest(weights(decoder["layers"]["self_attention"], 0, rows, rows))
    places = np.arange(8, FRAMES - 8)
    for head, back in enumerate((0, 2, -2, 6)):
        # The noise has no component in the directions of time.
        assert np.mean(np.abs(found[head, 8:-8] - (places - back)) <= 2) > 0.9, back


def test_frames_attend_to_events_at_their_time(after):
    """Events are every 5.5 frames; each frame attends to the nearest."""
    encoder, decoder = after["note_encoder"], after["decoder"]
    steps = np.arange(0, 2 * FRAMES, 11)
    rows = sequence(encoder, np.array([shift(step) for step in steps]))
    layers = decoder["layers"]["cross_attention"]
    found = steps[nearest(weights(layers, 0, decoder["positions"], rows))] / 2
    frames = np.arange(FRAMES)
    for head, back in enumerate((0, 1, 4, 12)):
        later = slice(back, None)
        assert np.mean(np.abs(found[head, later] - (frames - back)[later]) <= 4) > 0.9, back


def test_tokens_after_a_shift_carry_its_time(after):
    """After the first layer, the frame of a shift attends to the pitch token that follows it."""
    encoder, decoder = after["note_encoder"], after["decoder"]
    pitch, on = (
        int(RELEASED_VOCABULARY.encode(*event)) for event in (("pitch", 60), ("velocity", 1))
    )
    times = [10, 40, 70]
    rows = sequence(encoder, np.array([t for step in times for t in (shift(step), on, pitch)]))
    attention = encoder["layers"]["attention"]
    scores = weights(attention, 0, rows, rows)
    values = (normed(rows) @ attention["value"]["kernel"][0]).reshape(len(rows), HEADS, -1)
    attended = np.einsum("hts,shk->thk", scores, values).reshape(len(rows), -1)
    rows = rows + attended @ attention["out"]["kernel"][0]
    layers = decoder["layers"]["cross_attention"]
    pitches = weights(layers, 0, decoder["positions"], rows[2::3])[0]
    assert pitches[[step // 2 for step in times]].argmax(axis=1).tolist() == [0, 1, 2]


def test_a_narrow_network_is_refused():
    narrow = SIZES["tiny"]
    params = init_params(Denoiser, narrow, 0)
    with pytest.raises(ConfigError, match=r"expected a width above 64, .* got 64"):
        align_attention(params, narrow.heads)
