"""Initialization that aligns attention with note times.

From a random initialization, the last thing a decoder learns is the time of a note token: that its
`shift` token, one of a thousand with separate embeddings, means a certain row of the decoder's
position table; that the tokens after a shift belong to it; and that queries and keys should match
where times agree. All of this can be set at initialization, since the tables are known:

- the embedding of a shift token is the position code of its frame, in a subspace of its own;
- attention starts as attention by position, each head with a fixed offset: in the note encoder to
  preceding tokens, in the decoder to neighboring frames (self-attention) and to the events at the
  same time or some frames earlier (cross-attention);
- the first heads of the note encoder copy the position code of a shift to the tokens after it.

Moving a table of sinusoids by an offset is a linear map, so a query kernel suffices for it. Names
and shapes of the parameters stay the same. In the spirit of Trockman and Kolter, "Mimetic
initialization of self-attention layers" (2023).

Axis letters: D model width, H heads, K head width, L layers, P positions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE
from spectrodiff.core.errors import ConfigError
from spectrodiff.models.definition import Params
from spectrodiff.music.vocabulary import MAX_SHIFT_STEPS, RELEASED_VOCABULARY, STEPS_PER_SECOND

# Offsets of the heads, in positions back: one row per layer, one entry per head, both repeated.
Offsets = Sequence[Sequence[int]]
TOKEN_OFFSETS: Offsets = ((1, 2, 3, 4), (1, 2, 5, -1), (0, 1, -1, 3))
FRAME_OFFSETS: Offsets = ((0, 2, -2, 6), (0, 1, -1, -6), (0, 4, -4, 12))
EVENT_OFFSETS: Offsets = (
    (0, 1, 4, 12),
    (0, 2, 8, 24),
    (0, 3, 16, 40),
    (0, 1, 6, 20),
    (0, 2, 10, 32),
)
# Gain with which the heads of the note encoder's first layers copy the code of a shift.
COPY_GAINS = ((1.0, 0.6, 0.4, 0.3), (0.5, 0.3, 0.2, 0.0))
# Difference of the logits between the position attended to and distant ones.
TOKEN_LOGIT, FRAME_LOGIT, EVENT_LOGIT = 20.0, 8.0, 16.0
# Rows of the note encoder's table that are used; few segments have more tokens.
USUAL_TOKENS = 128


class Channel(NamedTuple):
    """Subspace in which the rows of a position table differ."""

    basis: Float[Array, "D K"]  # orthonormal
    codes: Float[Array, "P K"]  # the rows in this basis


def align_attention(params: Params, heads: int) -> Params:
    """Returns the initial parameters of a diffusion network with attention aligned.

    Args:
        params: initial parameters (see `definition.init_params`).
        heads: H.

    Raises:
        ConfigError: if the width leaves no directions beside positions and times (D <= 2 K).
    """
    encoder, decoder = params["note_encoder"], params["decoder"]
    _, model_width, inner = encoder["layers"]["attention"]["query"]["kernel"].shape
    width = inner // heads
    if model_width <= 2 * width:
        expected = f"a width above {2 * width}, twice the head width, for 'aligned'"
        raise ConfigError("Network.initialization", expected, str(model_width))
    tokens = _channel(encoder["positions"][:USUAL_TOKENS], width)
    frames = _channel(decoder["positions"], width)
    # Directions for times are orthogonal to those for positions in the token sequence.
    times = jnp.linalg.qr(_without(frames.basis.T, tokens.basis).T)[0]

    encoder = {
        **encoder,
        "embedding": _embedding(encoder["embedding"], tokens, frames, times),
        "layers": {
            **encoder["layers"],
            "attention": _copy_times(
                _attend_by_position(
                    encoder["layers"]["attention"], tokens, TOKEN_OFFSETS, TOKEN_LOGIT, heads
                ),
                times,
            ),
        },
    }
    layers = decoder["layers"]
    decoder = {
        **decoder,
        "input": {"kernel": _without(decoder["input"]["kernel"], frames.basis)},
        "layers": {
            **layers,
            "self_attention": _attend_by_position(
                layers["self_attention"], frames, FRAME_OFFSETS, FRAME_LOGIT, heads
            ),
            "cross_attention": _attend_by_time(layers["cross_attention"], frames, times, heads),
        },
    }
    aligned = {**params, "note_encoder": encoder, "decoder": decoder}
    if "context_encoder" in params:
        context = params["context_encoder"]
        own = _channel(context["positions"], width)
        attention = _attend_by_position(
            context["layers"]["attention"], own, FRAME_OFFSETS, FRAME_LOGIT, heads
        )
        aligned["context_encoder"] = {
            **context,
            "input": {"kernel": _without(context["input"]["kernel"], own.basis)},
            "layers": {**context["layers"], "attention": attention},
        }
    return aligned


def _channel(positions: Float[Array, "P D"], width: int) -> Channel:
    """Returns the `width` principal directions of a position table."""
    centered = positions - positions.mean(axis=0, keepdims=True)
    # With fewer positions than directions, all codes are zero in the last directions.
    basis = jnp.linalg.svd(centered, full_matrices=True)[2][:width].T
    return Channel(basis, centered @ basis)


def _without(rows: Float[Array, "rows D"], basis: Float[Array, "D K"]) -> Float[Array, "rows D"]:
    """Removes the components in the directions of a basis from rows."""
    return rows - (rows @ basis) @ basis.T


def _embedding(
    embedding: Float[Array, "rows D"], tokens: Channel, frames: Channel, times: Float[Array, "D K"]
) -> Float[Array, "rows D"]:
    """Sets shifts to the codes of their times, removes these directions elsewhere; unit RMS."""
    steps = np.arange(MAX_SHIFT_STEPS + 1)
    places = steps * (SAMPLE_RATE / HOP_SAMPLES / STEPS_PER_SECOND)
    inside = places <= len(frames.codes) - 1
    steps, places = steps[inside], places[inside]
    # A time between two frames has the mean of their codes.
    before, after = places.astype(int), np.ceil(places).astype(int)
    share = (places - before)[:, None].astype(np.float32)
    codes = (1 - share) * frames.codes[before] + share * frames.codes[after]
    rows = _without(_without(embedding, tokens.basis), times)
    rows = rows.at[RELEASED_VOCABULARY.encode("shift", steps)].set(codes @ times.T)
    return rows / jnp.sqrt(jnp.mean(jnp.square(rows), axis=1, keepdims=True))


def _attend_by_position(
    attention: Params, channel: Channel, offsets: Offsets, logit: float, heads: int
) -> Params:
    """Returns kernels [L, D, H K] of self-attention with a fixed offset per head."""
    layers = len(attention["query"]["kernel"])
    query = _queries(channel, offsets, logit, layers, heads)
    key = jnp.tile(channel.basis, (layers, 1, heads))
    return {**attention, "query": {"kernel": query}, "key": {"kernel": key}}


def _attend_by_time(
    attention: Params, frames: Channel, times: Float[Array, "D K"], heads: int
) -> Params:
    """Returns kernels of cross-attention by time; with one per source, only that of the notes."""
    if "notes" in attention:
        return {**attention, "notes": _attend_by_time(attention["notes"], frames, times, heads)}
    layers = len(attention["query"]["kernel"])
    query = _queries(frames, EVENT_OFFSETS, EVENT_LOGIT, layers, heads)
    key = jnp.tile(times, (layers, 1, heads))
    return {**attention, "query": {"kernel": query}, "key": {"kernel": key}}


def _queries(
    channel: Channel, offsets: Offsets, logit: float, layers: int, heads: int
) -> Float[Array, "L D inner"]:
    """Returns query kernels for keys that are the channel's codes."""
    gain = logit / jnp.mean(jnp.sum(jnp.square(channel.codes), axis=1))
    kernels = [
        jnp.concatenate(
            [
                gain * channel.basis @ _moved(channel.codes, row[head % len(row)])
                for head in range(heads)
            ],
            axis=1,
        )
        for row in (offsets[layer % len(offsets)] for layer in range(layers))
    ]
    return jnp.stack(kernels)


def _moved(codes: Float[Array, "P K"], back: int) -> Float[Array, "K K"]:
    """Returns the least-squares map from each code to the one `back` positions before it."""
    back = max(-len(codes) // 2, min(back, len(codes) // 2))
    here, there = (
        (codes[back:], codes[: len(codes) - back])
        if back >= 0
        else (
            codes[:back],
            codes[-back:],
        )
    )
    damping = 1e-3 * jnp.mean(jnp.square(codes)) * len(here) * jnp.eye(codes.shape[1])
    return jnp.linalg.solve(here.T @ here + damping, here.T @ there)


def _copy_times(attention: Params, times: Float[Array, "D K"]) -> Params:
    """Sets values and outputs of the first layers so that they copy the code of a time."""
    value, out = attention["value"]["kernel"], attention["out"]["kernel"]
    width = times.shape[1]
    for layer, gains in enumerate(COPY_GAINS[: len(value)]):
        for head, gain in enumerate(gains[: value.shape[-1] // width]):
            own = slice(head * width, (head + 1) * width)
            value = value.at[layer, :, own].set(times)
            out = out.at[layer, own].set(gain * times.T)
    return {**attention, "value": {"kernel": value}, "out": {"kernel": out}}
