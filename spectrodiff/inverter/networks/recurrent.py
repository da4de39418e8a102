"""Recurrent generator: spectra whose phases continue those of the frame before.

From magnitudes, a network can predict the phase advance of a tone between two frames, but not its
phase. The generator of `frame_rate` therefore uses oscillators of fixed frequencies, which round
the frequency of a tone to that of an oscillator. Here the network predicts the phase advance of
each Fourier bin, and a recurrence accumulates the advances: a tone can have any frequency, and its
phase is continuous from frame to frame.

Axis letters: B batch, F frames, M mel bins, K Fourier bins, D width.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Complex64, Float, Float32, Float64, Int

from spectrodiff.audio.features import SYNTHESIS, mel_centers_hz
from spectrodiff.core.constants import HOP_SAMPLES, NUM_MELS, SAMPLE_RATE
from spectrodiff.core.parallel import per_device
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
from spectrodiff.inverter.networks.layers import gelu, shifted
from spectrodiff.models.layers import expand, fan_in_normal

# Inputs of the layers at bins: mel bands around the bin, frames around the frame, and channels from
# the layers at frames.
OFFSETS, FRAMES_AROUND, CHANNELS = 9, 5, 8
HIDDEN = 32
# Initial outputs: magnitudes of the mel bands, phase advance of each bin's own frequency, and a
# small new component.
INITIAL_OUTPUTS = (0.0, 1.0, 0.0, 0.1, 0.0)
# Weight of neighboring bins in the recurrence. Under a Hann window, the bins beside a tone have
# its phase; averaging keeps them in phase although each advances by its own estimate.
NEIGHBORS = 0.5
# Magnitudes below this are silence: rounding to 16 bits produces spectra of about this size.
FLOOR = 1e-3
WEIGHT_POWER = 0.35  # exponent of the product of two magnitudes
# Squared magnitude below which the sum of old and new has no phase; its magnitude is then below M.
CANCELED = 1e-4
_TINY = 1e-12
_UNIT_TINY = 1e-6  # for numbers of magnitude about 1


class Heads(NamedTuple):
    """Outputs of the network for each frame and bin, before the recurrence.

    Attributes:
        log_magnitude: logarithm of the magnitude M.
        advance_real: phase advance since the frame before, beyond that of the bin's own frequency,
            as a complex number of magnitude 1.
        advance_imag: its imaginary part.
        fresh_real: new component, relative to the continued one, whose magnitude is below 1.
        fresh_imag: its imaginary part.
    """

    log_magnitude: Float32[Array, "B F K"]
    advance_real: Float32[Array, "B F K"]
    advance_imag: Float32[Array, "B F K"]
    fresh_real: Float32[Array, "B F K"]
    fresh_imag: Float32[Array, "B F K"]


class State(NamedTuple):
    """Spectrum of one frame, or of all frames with an axis F; zero before the first frame."""

    real: Float32[Array, "B *F K"]
    imag: Float32[Array, "B *F K"]


class RecurrentGenerator(FrameRateTrunk):
    """Generator at the frame rate of the features, with phases accumulated from frame to frame.

    Args:
        config: sizes.
        dtype: type of the matrix products; spectra are always float32.
        remat: recompute activations in the backward pass, layer by layer.
        rngs: random streams for the initial parameters.
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

    def __call__(
        self, log_mel: Float[Array, "B F M"], start: Int[Array, " B"] | None = None
    ) -> Float32[Array, "B samples"]:
        """Computes audio, F * 320 samples, from unscaled features; `start` has no effect."""
        del start
        return to_audio(unrolled(self.heads(log_mel)))

    def heads(self, log_mel: Float[Array, "B F M"]) -> Heads:
        """Computes the outputs of the network from unscaled features."""
        channels = self.outputs(log_mel).reshape(*log_mel.shape[:2], CHANNELS, -1)
        hertz = np.arange(self.config.fourier_bins) * SAMPLE_RATE / self.config.window_samples
        around = surroundings(log_mel, hertz)
        bins = jax.checkpoint(self.bins.__call__) if self.remat else self.bins
        outputs = bins(around, channels)
        parts = [outputs[:, :, number] for number in range(len(Heads._fields))]
        bands = jnp.matmul(log_mel, interpolation(hertz), precision="highest")
        size = jax.lax.rsqrt(jnp.square(parts[1]) + jnp.square(parts[2]) + _UNIT_TINY)
        magnitude = jnp.minimum(parts[0] + bands, MAX_LOG_MAGNITUDE)
        return Heads(magnitude, parts[1] * size, parts[2] * size, parts[3], parts[4])


class BinLayers(nnx.Module):
    """Layers at each frame and bin; inputs are the mel bands around it and the trunk's outputs.

    The frequency of a tone follows from the distribution of its energy over a few bands, by nearly
    the same rule for all bins. Kernels are therefore the sum of a shared one and one per bin.
    """

    def __init__(self, bins: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        inputs = OFFSETS * FRAMES_AROUND + CHANNELS
        self.first = BinLinear(bins, inputs, HIDDEN, dtype=dtype, rngs=rngs)
        self.second = BinLinear(bins, HIDDEN, HIDDEN, dtype=dtype, rngs=rngs)
        self.third = BinLinear(bins, HIDDEN, len(Heads._fields), dtype=dtype, rngs=rngs)
        self.third.bias[...] = jnp.tile(jnp.array(INITIAL_OUTPUTS, jnp.float32), (bins, 1))

    def __call__(
        self, around: Float[Array, "B F places K"], channels: Float[Array, "B F channels K"]
    ) -> Float32[Array, "B F 5 K"]:
        """Computes the outputs in the order of `Heads`."""
        batch, frames, _, bins = around.shape
        x = jnp.concatenate([around.astype(channels.dtype), channels], axis=2)
        # One matrix product per bin.
        x = x.reshape(batch * frames, -1, bins).transpose(2, 0, 1)
        x = gelu(self.first(x))
        x = gelu(self.second(x))
        x = self.third(x).astype(jnp.float32)
        return x.transpose(1, 2, 0).reshape(batch, frames, -1, bins)


class BinLinear(nnx.Module):
    """Linear layer with a kernel (shared + own) and a bias for each bin."""

    def __init__(
        self, bins: int, inputs: int, outputs: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        init = fan_in_normal()
        self.shared = nnx.Param(init(rngs.params(), (inputs, outputs), jnp.float32))
        self.own = nnx.Param(jnp.zeros((bins, inputs, outputs), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((bins, outputs), jnp.float32))
        self.dtype = dtype

    def __call__(self, x: Float[Array, "K N inputs"]) -> Float[Array, "K N outputs"]:
        """Applies the layer of each bin to N rows."""
        kernel = (self.shared[...][None] + self.own[...]).astype(self.dtype)
        y = jnp.matmul(x.astype(self.dtype), kernel)
        return y + self.bias[...].astype(y.dtype)[:, None]


def surroundings(
    log_mel: Float[Array, "B F M"], hertz: Float64[np.ndarray, " K"]
) -> Float32[Array, "B F places K"]:
    """Returns the mel bands around each bin in the frames around each frame.

    Args:
        log_mel: unscaled features.
        hertz: frequencies of the bins.

    Returns:
        Features at distances of -4 to 4 bands from the bin in 5 frames, relative to the central
        one, which itself is scaled to about [-1, 1].
    """
    reach = OFFSETS // 2
    # Interpolated at integer distances in bands; the last band is repeated beyond the ends.
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


def band_numbers(hertz: Float64[np.ndarray, " K"]) -> Float64[np.ndarray, " K"]:
    """Returns positions of frequencies between the centers of mel bands, linear in mel."""
    centers = np.log1p(mel_centers_hz(SYNTHESIS) / 700)
    return np.interp(np.log1p(hertz / 700), centers, np.arange(NUM_MELS))


def unrolled(heads: Heads, state: State | None = None) -> State:
    """Computes the spectra of all frames by the recurrence.

    The spectrum S of the frame before, averaged over neighboring bins, is rotated by the bins' own
    frequencies and the predicted advance. It is weighted by its magnitude relative to the predicted
    magnitude M and added to the new component; the phase of the sum is that of the frame:

        old = rotated(S[k] + (S[k - 1] + S[k + 1]) / 2)
        phase = arg(old / (|old| + M) + fresh)

    At an attack, M is much larger than |old|, and the new component determines the phase.

    Gradients do not pass through the frames before: where old and new cancel, they would grow
    without bounds. Instead, `head_distance` trains the advances without the recurrence.

    Args:
        heads: outputs of the network.
        state: spectrum before the first frame; silence if None.

    Returns:
        Spectra [B, F, K] with phases relative to the center of each frame.
    """
    bins = heads.log_magnitude.shape[-1]
    turn = own_advances(bins)
    cosine, sine = (expand(jnp.asarray(part), heads[0]) for part in (turn.real, turn.imag))
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
    # Computed again for all frames in parallel, for the gradients.
    before = State(
        *(
            jnp.concatenate([first[None], every[:-1]])
            for first, every in zip(state, spectra, strict=True)
        )
    )
    after = _after(jax.lax.stop_gradient(before), by_frame)
    return State(*(jnp.moveaxis(part, 0, 1) for part in after))


def _after(before: State, now: tuple[jax.Array, ...]) -> State:
    """Returns the spectrum [..., K] after a given one; see `unrolled`."""
    magnitude, by_real, by_imag, fresh_real, fresh_imag = now
    real, imag = smeared(before.real), smeared(before.imag)
    size = jnp.sqrt(jnp.square(real) + jnp.square(imag) + _TINY)
    share = 1 / (size + magnitude)
    new_real = share * (real * by_real - imag * by_imag) + fresh_real
    new_imag = share * (real * by_imag + imag * by_real) + fresh_imag
    scale = magnitude * jax.lax.rsqrt(jnp.square(new_real) + jnp.square(new_imag) + CANCELED)
    return State(scale * new_real, scale * new_imag)


def smeared(values: Float32[Array, "*frames K"]) -> Float32[Array, "*frames K"]:
    """Adds half of the neighboring bins to each bin."""
    padded = jnp.pad(values, [(0, 0)] * (values.ndim - 1) + [(1, 1)])
    return values + NEIGHBORS * (padded[..., :-2] + padded[..., 2:])


def own_advances(bins: int) -> Complex64[np.ndarray, " K"]:
    """Returns the phase advance between frames of each bin's own frequency, as unit numbers."""
    window_samples = 2 * (bins - 1)
    turns = np.arange(bins) * HOP_SAMPLES % window_samples / window_samples
    return np.exp(2j * np.pi * turns).astype(np.complex64)


def to_audio(spectra: State) -> Float32[Array, "B samples"]:
    """Transforms the spectra [B, F, K] of all frames to audio, F * 320 samples."""
    return overlap_add(inverse_fourier(jax.lax.complex(*spectra)))


def analyzed(audio: Float32[Array, "B samples"], window_samples: int) -> Complex64[Array, "B F K"]:
    """Computes the spectra of windows around each frame, the inverse of `to_audio`.

    Args:
        audio: F * 320 samples; zero outside.
        window_samples: window length.

    Returns:
        Spectra with phases relative to the center of each window.
    """
    hops = window_samples // HOP_SAMPLES
    before = hops // 2 - 1  # hops between the start of a window and that of its frame
    frames = audio.shape[1] // HOP_SAMPLES
    blocks = audio.reshape(len(audio), frames, HOP_SAMPLES)
    blocks = jnp.pad(blocks, [(0, 0), (before, hops - 1 - before), (0, 0)])
    cut = [blocks[:, place : place + frames] for place in range(hops)]
    windows = jnp.concatenate(cut, axis=-1) * jnp.asarray(hann(window_samples))[None, None]
    return per_device(jnp.fft.rfft, jnp.fft.ifftshift(windows, axes=-1))


class HeadDistance(NamedTuple):
    """Distances of the network's outputs from the spectra of a recording, per example."""

    advance: Float32[Array, " B"]
    magnitude: Float32[Array, " B"]


def head_distance(heads: Heads, audio: Float32[Array, "B samples"]) -> HeadDistance:
    """Compares the outputs of the network with a recording, without the recurrence.

    Args:
        heads: outputs of the network.
        audio: recording, F * 320 samples.

    Returns:
        `advance`: mean distance of the unit numbers, weighted by a power of the magnitudes M' of
        the recording; `magnitude`: sum of |M - M'| divided by that of M', plus the mean of
        |ln M - ln M'|. Frames are excluded if their window or that of the frame before extends
        beyond the recording.
    """
    bins = heads.log_magnitude.shape[-1]
    hops = 2 * (bins - 1) // HOP_SAMPLES
    inside = slice(hops // 2, heads.log_magnitude.shape[1] - hops // 2)
    spectra = analyzed(audio, 2 * (bins - 1))
    turn = jnp.asarray(own_advances(bins))[None, None]
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
