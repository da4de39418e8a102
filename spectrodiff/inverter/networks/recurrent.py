"""The recurrent generator: spectra whose phases go on from those of the frame before.

A network that sees only magnitudes can say how far a tone turns from one frame to the next, but not
how far it has turned since it began. The generator of `frame_rate` therefore draws tones from
oscillators of fixed frequencies, and what lies between two of them comes out at one. Here the
network says how far each bin turns, and a recurrence adds these turns up: a tone has whatever
frequency the features say, and keeps in step from frame to frame by itself.

Axis letters: B batch, F frames, M mel bins, K Fourier bins, D width.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from spectrodiff.audio.features import SYNTHESIS, mel_centers_hz
from spectrodiff.core.constants import HOP_SAMPLES, NUM_MELS, SAMPLE_RATE
from spectrodiff.inverter.config import RecurrentConfig
from spectrodiff.inverter.networks.frame_rate import (
    MAX_LOG_MAGNITUDE,
    FrameRateTrunk,
    hann,
    interpolation,
    inverse_fourier,
    overlap_add,
    standardize,
)
from spectrodiff.inverter.networks.layers import gelu, rows, shifted
from spectrodiff.models.layers import fan_in_normal

# What the layers at bins see: mel bands around the bin, frames around the frame, and some numbers
# from the layers at frames.
OFFSETS, FRAMES_AROUND, CHANNELS = 9, 5, 8
HIDDEN = 32
# The outputs before training: bins as loud as the mel bands, turning by their own frequencies, and
# some of them beginning anew.
FIRSTS = (0.0, 1.0, 0.0, 0.1, 0.0)
# The bins next to a tone's carry the same phase under a Hann window; listening to each other they
# keep it although each turns by its own estimate.
NEIGHBOURS = 0.5
# Below this, magnitudes are silence: rounding to 16 bits makes spectra of about that size.
FLOOR = 1e-3
WEIGHT_POWER = 0.35  # of the product of two magnitudes
# Where old and new cancel but for this square of a size, a sum has no phase, and is quieter than M.
CANCELLED = 1e-4
_TINY = 1e-12
_UNIT_TINY = 1e-6  # of numbers about as large as 1


class Heads(NamedTuple):
    """Outputs of the network for each frame and bin, before the recurrence; float32 [B, F, K]."""

    log_magnitude: jax.Array
    advance_real: jax.Array  # of the unit number that the phase is multiplied by since the frame
    advance_imag: jax.Array  # before, beyond the turn of the bin's own frequency
    fresh_real: jax.Array  # what begins in this frame, where the old part has a size below 1
    fresh_imag: jax.Array


class State(NamedTuple):
    """The spectrum of one frame, float32 [B, K] each; zero before a sound."""

    real: jax.Array
    imag: jax.Array


class RecurrentGenerator(FrameRateTrunk):
    """Log-mel to audio at the rate of the features, each frame's phases from the one before.

    Args:
        config: sizes.
        dtype: type of the matrix products; spectra are always float32.
        remat: recompute activations in the backward pass, layer by layer.
        rngs: random numbers for the initial parameters.
    """

    def __init__(
        self,
        config: RecurrentConfig,
        *,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        K = config.fourier_bins
        super().__init__(config, CHANNELS * K, dtype=dtype, remat=remat, rngs=rngs)
        self.bins = BinLayers(K, dtype=dtype, rngs=rngs)

    def __call__(self, log_mel: jax.Array, start: jax.Array | None = None) -> jax.Array:
        """Unscaled features [B, F, M] -> audio [B, F * 320], float32, the same from any start."""
        del start
        return to_audio(unrolled(self.heads(log_mel)))

    def heads(self, log_mel: jax.Array) -> Heads:
        """Outputs of the network for unscaled features [B, F, M]."""
        channels = self.outputs(log_mel).reshape(*log_mel.shape[:2], CHANNELS, -1)
        hertz = np.arange(self.config.fourier_bins) * SAMPLE_RATE / self.config.window_samples
        around = surroundings(log_mel, hertz)
        bins = jax.checkpoint(self.bins.__call__) if self.remat else self.bins
        said = bins(around, channels)
        parts = [said[:, :, number] for number in range(len(Heads._fields))]
        bands = jnp.matmul(log_mel, interpolation(hertz), precision="highest")
        size = jax.lax.rsqrt(jnp.square(parts[1]) + jnp.square(parts[2]) + _UNIT_TINY)
        magnitude = jnp.minimum(parts[0] + bands, MAX_LOG_MAGNITUDE)
        return Heads(magnitude, parts[1] * size, parts[2] * size, parts[3], parts[4])


class BinLayers(nnx.Module):
    """Layers at each frame and bin, which see the mel bands around it and what the trunk says.

    A tone's frequency follows from how its loudness is spread over a few bands, by about the same
    rule everywhere. Weights are therefore the sum of those that all bins share and of a bin's own.
    """

    def __init__(self, bins: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        inputs = OFFSETS * FRAMES_AROUND + CHANNELS
        self.first = BinLinear(bins, inputs, HIDDEN, dtype=dtype, rngs=rngs)
        self.second = BinLinear(bins, HIDDEN, HIDDEN, dtype=dtype, rngs=rngs)
        self.third = BinLinear(bins, HIDDEN, len(Heads._fields), dtype=dtype, rngs=rngs)
        self.third.bias[...] = jnp.tile(jnp.array(FIRSTS, jnp.float32), (bins, 1))

    def __call__(self, around: jax.Array, channels: jax.Array) -> jax.Array:
        """[B, F, places, K] and the trunk's [B, F, channels, K] -> [B, F, 5, K], float32."""
        batch, frames, _, bins = around.shape
        x = jnp.concatenate([around.astype(channels.dtype), channels], axis=2)
        # One matrix product for each bin.
        x = x.reshape(batch * frames, -1, bins).transpose(2, 0, 1)
        x = gelu(self.first(x))
        x = gelu(self.second(x))
        x = self.third(x).astype(jnp.float32)
        return x.transpose(1, 2, 0).reshape(batch, frames, -1, bins)


class BinLinear(nnx.Module):
    """x @ (shared + own kernel) + own bias, at each bin."""

    def __init__(
        self, bins: int, inputs: int, outputs: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        init = fan_in_normal()
        self.shared = nnx.Param(init(rngs.params(), (inputs, outputs), jnp.float32))
        self.own = nnx.Param(jnp.zeros((bins, inputs, outputs), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((bins, outputs), jnp.float32))
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """[K, N, inputs] -> [K, N, outputs]."""
        kernel = (self.shared[...][None] + self.own[...]).astype(self.dtype)
        y = jnp.matmul(x.astype(self.dtype), kernel)
        return y + self.bias[...].astype(y.dtype)[:, None]


def surroundings(log_mel: jax.Array, hertz: np.ndarray) -> jax.Array:
    """The mel bands around each bin, in the frames around each frame.

    Args:
        log_mel: unscaled features [B, F, M].
        hertz: frequencies of the bins [K].

    Returns:
        float32 [B, F, places, K]: features at distances of -4 to 4 bands from the bin, in 5 frames
        each, relative to the one in the middle, which itself is in the range of about [-1, 1].
    """
    reach = OFFSETS // 2
    # Interpolated at whole distances in bands; beyond the ends, the last band goes on.
    bands = band_numbers(hertz)
    places = np.clip(bands + np.arange(-reach, reach + 1)[:, None], 0, NUM_MELS - 1)
    left = np.minimum(places.astype(np.int64), NUM_MELS - 2)
    share = jnp.asarray((places - left).astype(np.float32))[None, None]
    values = log_mel[..., left] * (1 - share) + log_mel[..., left + 1] * share
    middle = values[:, :, reach]
    shape = values.shape
    flat = values.reshape(*shape[:2], -1)
    frames = [part.reshape(shape) for part in shifted(flat, FRAMES_AROUND)]
    relative = [0.5 * (part - middle[:, :, None]) for part in frames]
    relative[FRAMES_AROUND // 2] = (
        relative[FRAMES_AROUND // 2].at[:, :, reach].set(standardize(middle))
    )
    return jnp.concatenate(relative, axis=2)


def band_numbers(hertz: np.ndarray) -> np.ndarray:
    """Positions of frequencies between the centres of mel bands, linear in mel; float64."""
    centers = np.log1p(mel_centers_hz(SYNTHESIS) / 700)
    return np.interp(np.log1p(hertz / 700), centers, np.arange(NUM_MELS))


def unrolled(heads: Heads, state: State | None = None) -> State:
    """Spectra of all frames, by the recurrence.

    The spectrum S of the frame before, a little smeared over neighbouring bins, is turned by the
    bins' own frequencies and the advance. Weighed by its size against the magnitude M to come, it
    is added to what begins anew; the sum's phase is that of the frame:

        old = turned(S[k] + (S[k - 1] + S[k + 1]) / 2)
        new phase = that of old / (|old| + M) + fresh

    Gradients do not go back through the frames before: where old and new cancel, they would grow
    without bounds from frame to frame. That advances add up to the right phases is left to
    `head_distance`, which needs no recurrence.

    Where a sound sets in, M is much larger than what went before, and the phase is the network's.

    Args:
        heads: what the network says, [B, F, K] each.
        state: the spectrum before the first frame; by default silence.

    Returns:
        float32 [B, F, K] each, phases counting from the middle of each frame.
    """
    bins = heads.log_magnitude.shape[-1]
    turn = own_turns(bins)
    cosine, sine = rows(jnp.asarray(turn.real), heads[0]), rows(jnp.asarray(turn.imag), heads[0])
    by_real = heads.advance_real * cosine - heads.advance_imag * sine
    by_imag = heads.advance_real * sine + heads.advance_imag * cosine
    magnitude = jnp.exp(heads.log_magnitude)
    inputs = (magnitude, by_real, by_imag, heads.fresh_real, heads.fresh_imag)
    if state is None:
        silence = jnp.zeros_like(magnitude[:, 0])
        state = State(silence, silence)

    def step(before: State, now: tuple[jax.Array, ...]) -> tuple[State, State]:
        after = _after(before, now)
        return after, after

    by_frame = tuple(jnp.moveaxis(part, 1, 0) for part in inputs)
    _, spectra = jax.lax.scan(step, state, by_frame)
    # Once more, all frames side by side, for the gradients.
    before = State(
        *(
            jnp.concatenate([first[None], every[:-1]])
            for first, every in zip(state, spectra, strict=True)
        )
    )
    after = _after(jax.lax.stop_gradient(before), by_frame)
    return State(*(jnp.moveaxis(part, 0, 1) for part in after))


def _after(before: State, now: tuple[jax.Array, ...]) -> State:
    """The spectrum that follows one, [..., K]; see `unrolled`."""
    magnitude, by_real, by_imag, fresh_real, fresh_imag = now
    real, imag = smeared(before.real), smeared(before.imag)
    size = jnp.sqrt(jnp.square(real) + jnp.square(imag) + _TINY)
    share = 1 / (size + magnitude)
    new_real = share * (real * by_real - imag * by_imag) + fresh_real
    new_imag = share * (real * by_imag + imag * by_real) + fresh_imag
    scale = magnitude * jax.lax.rsqrt(jnp.square(new_real) + jnp.square(new_imag) + CANCELLED)
    return State(scale * new_real, scale * new_imag)


def smeared(values: jax.Array) -> jax.Array:
    """Each bin plus half of its neighbours, [..., K]."""
    padded = jnp.pad(values, [(0, 0)] * (values.ndim - 1) + [(1, 1)])
    return values + NEIGHBOURS * (padded[..., :-2] + padded[..., 2:])


def own_turns(bins: int) -> np.ndarray:
    """Unit numbers, complex64 [K]: how bins turn from frame to frame by their own frequencies."""
    window_samples = 2 * (bins - 1)
    turns = np.arange(bins) * HOP_SAMPLES % window_samples / window_samples
    return np.exp(2j * np.pi * turns).astype(np.complex64)


def to_audio(spectra: State) -> jax.Array:
    """Sound [B, F * 320] of the spectra of windows around all frames, [B, F, K]."""
    return overlap_add(inverse_fourier(jax.lax.complex(*spectra)))


def analysed(audio: jax.Array, window_samples: int) -> jax.Array:
    """The spectra that would make some sound: complex [B, F, K], of windows around each frame.

    Args:
        audio: float32 [B, F * 320]; it is silent outside.
        window_samples: the windows' length.

    Returns:
        Phases count from the windows' middles.
    """
    hops = window_samples // HOP_SAMPLES
    before = hops // 2 - 1  # windows begin so many hops before their frames
    frames = audio.shape[1] // HOP_SAMPLES
    blocks = audio.reshape(len(audio), frames, HOP_SAMPLES)
    blocks = jnp.pad(blocks, [(0, 0), (before, hops - 1 - before), (0, 0)])
    cut = [blocks[:, place : place + frames] for place in range(hops)]
    windows = jnp.concatenate(cut, axis=-1) * jnp.asarray(hann(window_samples))[None, None]
    return jnp.fft.rfft(jnp.fft.ifftshift(windows, axes=-1))


class HeadDistance(NamedTuple):
    """Distances of the network's outputs from the spectra of a sound, [B]."""

    advance: jax.Array
    magnitude: jax.Array


def head_distance(heads: Heads, audio: jax.Array) -> HeadDistance:
    """Compares what the network says of frames with a sound itself, before any recurrence.

    Args:
        heads: what the network says, [B, F, K] each.
        audio: the sound that it should be, float32 [B, F * 320].

    Returns:
        `advance`: mean distance of unit numbers, weighed by a power of the spectra's magnitudes;
        `magnitude`: sum of |M - M'| over that of M', plus the mean of |ln M - ln M'|. Frames whose
        windows, or whose predecessors', reach out of the sound do not count.
    """
    bins = heads.log_magnitude.shape[-1]
    hops = 2 * (bins - 1) // HOP_SAMPLES
    inside = slice(hops // 2, heads.log_magnitude.shape[1] - hops // 2)
    spectra = analysed(audio, 2 * (bins - 1))
    turn = jnp.asarray(own_turns(bins))[None, None]
    turned = jnp.conj(spectra[:, inside.start - 1 : inside.stop - 1] * turn)
    products = spectra[:, inside] * turned
    size = jnp.abs(products) + _TINY
    real, imag = products.real / size, products.imag / size
    apart = jnp.sqrt(
        jnp.square(heads.advance_real[:, inside] - real)
        + jnp.square(heads.advance_imag[:, inside] - imag)
        + _UNIT_TINY
    )
    weights = size**WEIGHT_POWER
    axes = (1, 2)
    advance = (weights * apart).sum(axes) / weights.sum(axes)
    ours, theirs = jnp.exp(heads.log_magnitude[:, inside]), jnp.abs(spectra[:, inside])
    convergence = jnp.abs(ours - theirs).sum(axes) / (theirs.sum(axes) + FLOOR * theirs[0].size)
    log_l1 = jnp.abs(jnp.log(jnp.maximum(ours, FLOOR)) - jnp.log(jnp.maximum(theirs, FLOOR)))
    return HeadDistance(advance, convergence + log_l1.mean(axes))
