"""The aligned beginning: what a fresh network's attention finds before any training."""

import dataclasses

import jax
import numpy as np
import pytest

from spectrodiff.checkpoints.tree import flatten
from spectrodiff.models.alignment import align
from spectrodiff.models.config import SIZES
from spectrodiff.models.denoiser import init_params

CONFIG = dataclasses.replace(
    SIZES["tiny"], width=128, heads=4, target_frames=40, context_frames=16, note_tokens=32
)
FIRST_SHIFT = 3  # after padding, end and unknown


@pytest.fixture(scope="module")
def before():
    return init_params(CONFIG, 0)


@pytest.fixture(scope="module")
def after(before):
    # As a run's parameters are made: a function of nothing that can be traced.
    return jax.tree.map(np.asarray, jax.jit(lambda: align(before))())


def test_shifts_begin_as_the_positions_of_their_frames(before, after):
    positions = after["decoder"]["positions"]
    embedding = after["note_encoder"]["embedding"]

    def unit(row):
        return row / np.sqrt(np.mean(row**2))

    # Steps are 10 ms, frames 20 ms: step 14 is frame 7, step 15 lies between frames 7 and 8.
    np.testing.assert_allclose(embedding[FIRST_SHIFT + 14], unit(positions[7]), rtol=1e-5)
    between = unit((positions[7] + positions[8]) / 2)
    np.testing.assert_allclose(embedding[FIRST_SHIFT + 15], between, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(embedding[FIRST_SHIFT + 78], unit(positions[39]), rtol=1e-5)
    # What lies behind the last frame, and what is no shift, stays as it was drawn.
    drawn = np.asarray(before["note_encoder"]["embedding"])
    np.testing.assert_array_equal(embedding[:FIRST_SHIFT], drawn[:FIRST_SHIFT])
    np.testing.assert_array_equal(embedding[FIRST_SHIFT + 79 :], drawn[FIRST_SHIFT + 79 :])


def test_queries_are_keys_at_the_scale_they_had(before, after):
    drawn, aligned = (flatten(jax.tree.map(np.asarray, tree)) for tree in (before, after))
    assert drawn.keys() == aligned.keys()
    queries = [name for name in drawn if name.endswith("query/kernel")]
    assert len(queries) == 4  # stacks: notes, context, the decoder's own and its cross-attention
    for name in queries:
        key = aligned[name.replace("query", "key")]
        ratio = aligned[name] / key
        np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-4)
        assert np.std(aligned[name]) == pytest.approx(np.std(drawn[name]), rel=1e-4)
    same = set(drawn) - set(queries) - {"note_encoder/embedding"}
    assert all((drawn[name] == aligned[name]).all() for name in same)


def test_a_frame_attends_to_the_shift_of_its_own_time(after):
    """First cross-attention, frames against bare shift embeddings, without anything learnt."""
    layer = after["decoder"]["layers"]["cross_attention"]
    heads = (CONFIG.heads, CONFIG.head_width)

    def project(rows, kernel):
        rows = rows / np.sqrt(np.mean(rows**2, axis=1, keepdims=True))
        return (rows @ kernel[0]).reshape(len(rows), *heads)

    shifts = after["note_encoder"]["embedding"][FIRST_SHIFT : FIRST_SHIFT + 80 : 2]
    queries = project(after["decoder"]["positions"], layer["query"]["kernel"])
    keys = project(shifts, layer["key"]["kernel"])
    logits = np.einsum("fhk,shk->hfs", queries, keys)
    nearest = logits.argmax(axis=2)
    assert np.mean(np.abs(nearest - np.arange(40)) <= 1) > 0.9
