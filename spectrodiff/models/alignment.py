"""A beginning from which notes are soon found at their places.

What a decoder learns last is where in time a note token belongs: that its `shift` token, one of a
thousand with embeddings of their own, means a certain row of the decoder's positions; that the
tokens after a shift belong to it; and that queries and keys should meet where times agree. None of
this has to be learnt from nothing, since the network draws its position tables itself:

- a shift token begins with the position code of its frame, in a subspace that no other token uses;
- attention begins as attention by position. A head looks a fixed number of places back or ahead:
  in the note encoder at the tokens before, in the decoder at neighbouring frames and, across, at
  what happened at a time, or some frames before;
- the first heads of the note encoder copy the position code of a shift to the tokens after it.

A table of sinusoids is moved by a number of places by a linear map, which is all that a query
kernel needs to be. The tree, the names and the shapes of the parameters stay as they are. In the
spirit of Trockman and Kolter, "Mimetic initialization of self-attention layers" (2023).

Axis letters: D model width, H heads, K head width, L layers, P positions.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE
from spectrodiff.core.errors import ConfigError
from spectrodiff.music.vocabulary import MAX_SHIFT_STEPS, RELEASED_VOCABULARY, STEPS_PER_SECOND

Params = dict[str, Any]

# How many places a head looks back; a row per layer, begun again where there are more layers, and
# the same for heads.
TOKENS_BACK = ((1, 2, 3, 4), (1, 2, 5, -1), (0, 1, -1, 3))
FRAMES_BACK = ((0, 2, -2, 6), (0, 1, -1, -6), (0, 4, -4, 12))
EVENTS_BACK = ((0, 1, 4, 12), (0, 2, 8, 24), (0, 3, 16, 40), (0, 1, 6, 20), (0, 2, 10, 32))
# How much of a shift's code the heads of the first layers of the note encoder copy.
COPIED = ((1.0, 0.6, 0.4, 0.3), (0.5, 0.3, 0.2, 0.0))
# How much larger a logit is at the place looked at than far away.
TOKEN_LOGIT, FRAME_LOGIT, EVENT_LOGIT = 20.0, 8.0, 16.0
# Rows of the note encoder's positions that matter: few segments are longer.
USUAL_TOKENS = 128


class Channel(NamedTuple):
    """Where a table of positions tells places apart."""

    basis: jax.Array  # [D, K], orthonormal
    codes: jax.Array  # [P, K], the rows in this basis


def align(params: Params, heads: int) -> Params:
    """Parameters before training (see `denoiser.init_params`), with attention aligned.

    Args:
        params: of a network.
        heads: H.

    Raises:
        ConfigError: if there is no room for anything but places and times: D <= 2 K.
    """
    encoder, decoder = params["note_encoder"], params["decoder"]
    _, model_width, inner = encoder["layers"]["attention"]["query"]["kernel"].shape
    width = inner // heads
    if model_width <= 2 * width:
        expected = f"a width above {2 * width}, twice the head width, for 'aligned'"
        raise ConfigError("Network.initialization", expected, str(model_width))
    tokens = _channel(encoder["positions"][:USUAL_TOKENS], width)
    frames = _channel(decoder["positions"], width)
    # Times are told in directions of their own, apart from where in the sequence a token stands.
    times = jnp.linalg.qr(_without(frames.basis.T, tokens.basis).T)[0]

    encoder = {
        **encoder,
        "embedding": _embedding(encoder["embedding"], tokens, frames, times),
        "layers": {
            **encoder["layers"],
            "attention": _copy_times(
                _look(encoder["layers"]["attention"], tokens, TOKENS_BACK, TOKEN_LOGIT, heads),
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
            "self_attention": _look(
                layers["self_attention"], frames, FRAMES_BACK, FRAME_LOGIT, heads
            ),
            "cross_attention": _look_across(layers["cross_attention"], frames, times, heads),
        },
    }
    aligned = {**params, "note_encoder": encoder, "decoder": decoder}
    if "context_encoder" in params:
        context = params["context_encoder"]
        own = _channel(context["positions"], width)
        attention = _look(context["layers"]["attention"], own, FRAMES_BACK, FRAME_LOGIT, heads)
        aligned["context_encoder"] = {
            **context,
            "input": {"kernel": _without(context["input"]["kernel"], own.basis)},
            "layers": {**context["layers"], "attention": attention},
        }
    return aligned


def _channel(positions: jax.Array, width: int) -> Channel:
    """The directions in which the rows of a table [P, D] differ most."""
    centred = positions - positions.mean(axis=0, keepdims=True)
    # Where there are fewer places than directions, the last directions tell nothing apart.
    basis = jnp.linalg.svd(centred, full_matrices=True)[2][:width].T
    return Channel(basis, centred @ basis)


def _without(rows: jax.Array, basis: jax.Array) -> jax.Array:
    """Rows [..., D] without what they have in the directions of a basis [D, K]."""
    return rows - (rows @ basis) @ basis.T


def _embedding(embedding: jax.Array, tokens: Channel, frames: Channel, times: jax.Array) -> Any:
    """Shifts get the code of their time, the rest keeps off; all rows [rows, D] equally loud."""
    steps = np.arange(MAX_SHIFT_STEPS + 1)
    places = steps * (SAMPLE_RATE / HOP_SAMPLES / STEPS_PER_SECOND)
    inside = places <= len(frames.codes) - 1
    steps, places = steps[inside], places[inside]
    # Half frames lie between two rows.
    before, after = places.astype(int), np.ceil(places).astype(int)
    share = (places - before)[:, None].astype(np.float32)
    codes = (1 - share) * frames.codes[before] + share * frames.codes[after]
    rows = _without(_without(embedding, tokens.basis), times)
    rows = rows.at[RELEASED_VOCABULARY.encode("shift", steps)].set(codes @ times.T)
    return rows / jnp.sqrt(jnp.mean(jnp.square(rows), axis=1, keepdims=True))


def _look(
    attention: Params, channel: Channel, back: tuple[Any, ...], logit: float, heads: int
) -> Params:
    """Self-attention [L, D, H K] by position: each head looks some places back."""
    layers = len(attention["query"]["kernel"])
    query = _queries(channel, back, logit, layers, heads)
    key = jnp.tile(channel.basis, (layers, 1, heads))
    return {**attention, "query": {"kernel": query}, "key": {"kernel": key}}


def _look_across(attention: Params, frames: Channel, times: jax.Array, heads: int) -> Params:
    """Cross-attention by time; where notes and context have one each, that of the notes."""
    if "notes" in attention:
        return {**attention, "notes": _look_across(attention["notes"], frames, times, heads)}
    layers = len(attention["query"]["kernel"])
    query = _queries(frames, EVENTS_BACK, EVENT_LOGIT, layers, heads)
    key = jnp.tile(times, (layers, 1, heads))
    return {**attention, "query": {"kernel": query}, "key": {"kernel": key}}


def _queries(
    channel: Channel, back: tuple[Any, ...], logit: float, layers: int, heads: int
) -> jax.Array:
    """Query kernels [L, D, H K] for keys that are the channel's codes."""
    gain = logit / jnp.mean(jnp.sum(jnp.square(channel.codes), axis=1))
    kernels = [
        jnp.concatenate(
            [
                gain * channel.basis @ _moved(channel.codes, row[head % len(row)])
                for head in range(heads)
            ],
            axis=1,
        )
        for row in (back[layer % len(back)] for layer in range(layers))
    ]
    return jnp.stack(kernels)


def _moved(codes: jax.Array, back: int) -> jax.Array:
    """The map [K, K] from each code to the one `back` places before, as nearly as there is one."""
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


def _copy_times(attention: Params, times: jax.Array) -> Params:
    """Values and outputs of the first layers hand the code of a time on."""
    value, out = attention["value"]["kernel"], attention["out"]["kernel"]
    width = times.shape[1]
    for layer, gains in enumerate(COPIED[: len(value)]):
        for head, gain in enumerate(gains[: value.shape[-1] // width]):
            own = slice(head * width, (head + 1) * width)
            value = value.at[layer, :, own].set(times)
            out = out.at[layer, own].set(gain * times.T)
    return {**attention, "value": {"kernel": value}, "out": {"kernel": out}}
