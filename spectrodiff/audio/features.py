"""Log-mel spectrograms and their scaling for the network, in JAX.

All functions can run inside a jitted training step, so that recordings are transferred as int16
samples and analyzed on the accelerator. Axis letters: F frames, M mel bins.
"""

import functools
import math
from dataclasses import dataclass
from typing import Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Float64, Shaped

from spectrodiff.core.constants import (
    EXTRA_FRAMES,
    HOP_SAMPLES,
    MAX_LOG_MEL,
    MIN_LOG_MEL,
    NUM_MELS,
    SAMPLE_RATE,
)
from spectrodiff.core.errors import AudioError
from spectrodiff.core.parallel import per_device

Array = np.ndarray | jax.Array
EitherArray = TypeVar("EitherArray", np.ndarray, jax.Array)


@dataclass(frozen=True)
class FrontEnd:
    """Parameters of a log-mel spectrogram.

    Attributes:
        sample_rate: in Hz.
        frame_samples: length of the periodic Hann window.
        hop_samples: distance between the starts of consecutive frames.
        fft_samples: length of the Fourier transform; windowed frames are zero-padded at the end.
        num_mels: number of triangular bands, M.
        low_hz: lower edge of the lowest band.
        high_hz: upper edge of the highest band.
        floor: "clip" clips magnitudes to [1e-5, 1e8] before the logarithm; "zeros" replaces only
            zeros, by 1e-5.
    """

    sample_rate: int = SAMPLE_RATE
    frame_samples: int = 640
    hop_samples: int = HOP_SAMPLES
    fft_samples: int = 1024
    num_mels: int = NUM_MELS
    low_hz: float = 0.0
    high_hz: float = 8000.0
    floor: Literal["clip", "zeros"] = "clip"


SYNTHESIS = FrontEnd()
"""Features that the synthesis models are trained to generate."""

TRANSCRIPTION = FrontEnd(
    frame_samples=2048,
    hop_samples=128,
    fft_samples=2048,
    num_mels=512,
    low_hz=20.0,
    high_hz=7600.0,
    floor="zeros",
)
"""Input features of the MT3 transcription model."""


@functools.partial(jax.jit, static_argnames="front_end")
def log_mel(
    audio: Shaped[Array, "*batch samples"], front_end: FrontEnd = SYNTHESIS
) -> Float32[jax.Array, "*batch F M"]:
    """Returns the log-mel spectrogram of mono audio: natural logarithms of magnitudes.

    Args:
        audio: floating point in [-1, 1] or int16.
        front_end: parameters of the spectrogram.

    Returns:
        Unscaled features. Frame i starts at sample i * hop; the end is padded with
        zeros, so that F = ceil(samples / hop).

    Raises:
        AudioError: if the samples are of another type.
    """
    frames = _windowed_frames(_to_float32(audio), front_end)
    magnitudes = jnp.abs(per_device(jnp.fft.rfft, frames))
    mel = jnp.matmul(magnitudes, mel_weights(front_end), precision="highest")
    if front_end.floor == "clip":
        return jnp.log(jnp.clip(mel, 1e-5, 1e8))
    return jnp.log(jnp.where(mel <= 0, 1e-5, mel))


def segment_log_mel(
    samples: Shaped[Array, "*batch samples"], front_end: FrontEnd = SYNTHESIS
) -> Float32[jax.Array, "*batch F M"]:
    """Returns the features of a segment cut by `cut_segment`, without its extra frames.

    Args:
        samples: (F + EXTRA_FRAMES) * hop samples, floating point or int16.
        front_end: parameters of the spectrogram.

    Returns:
        Unscaled features; they equal these frames of the whole recording's `log_mel`.
    """
    return log_mel(samples, front_end)[..., :-EXTRA_FRAMES, :]


def cut_segment(
    audio: Shaped[np.ndarray, " samples"],
    start_frame: int,
    num_frames: int,
    hop_samples: int = HOP_SAMPLES,
) -> Shaped[np.ndarray, " segment"]:
    """Cuts a segment out of a recording, with the extra frames that `segment_log_mel` needs.

    Args:
        audio: samples of any type.
        start_frame: first frame; negative before the start of the recording.
        num_frames: number of frames of the segment.
        hop_samples: samples per frame.

    Returns:
        (num_frames + EXTRA_FRAMES) * hop_samples samples of the same type, zero outside the
        recording.
    """
    start = start_frame * hop_samples
    stop = start + (num_frames + EXTRA_FRAMES) * hop_samples
    inside = audio[max(start, 0) : max(stop, 0)]
    before = min(max(-start, 0), stop - start)
    return np.pad(inside, (before, stop - start - before - len(inside)))


def scale(log_mel: Float[Array, "*shape"]) -> Float[jax.Array, "*shape"]:
    """Returns features as the network sees them: [ln 1e-5, 4] mapped to [-1, 1], and clipped.

    Args:
        log_mel: unscaled log-mel of any shape.
    """
    unit = (jnp.asarray(log_mel) - MIN_LOG_MEL) / (MAX_LOG_MEL - MIN_LOG_MEL)
    return jnp.clip(2 * unit - 1, -1.0, 1.0)


def unscale(scaled_mel: Float[EitherArray, "*shape"]) -> Float[EitherArray, "*shape"]:
    """Returns unscaled log-mel of network features; the inverse of `scale` without its clipping.

    NumPy arrays stay on the host: on a device, songs of every length would be compiled for.

    Args:
        scaled_mel: features in [-1, 1], of any shape.
    """
    return (scaled_mel + 1) / 2 * (MAX_LOG_MEL - MIN_LOG_MEL) + MIN_LOG_MEL


@functools.cache
def mel_weights(front_end: FrontEnd = SYNTHESIS) -> Float32[np.ndarray, "bins M"]:
    """Returns the weight of each of the fft // 2 + 1 Fourier bins in each mel band.

    Bands are triangles on the mel axis (not on the frequency axis) with unit peaks; the 0 Hz bin
    has zero weight in all bands.
    """
    bin_hz = np.linspace(0, front_end.sample_rate / 2, front_end.fft_samples // 2 + 1)
    edges = _band_edges_mel(front_end)
    mel = _hz_to_mel(bin_hz)[:, np.newaxis]
    low, peak, high = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((mel - low) / (peak - low), (high - mel) / (high - peak))
    weights = np.maximum(triangles, 0).astype(np.float32)
    weights.setflags(write=False)
    return weights


def mel_centers_hz(front_end: FrontEnd = SYNTHESIS) -> Float64[np.ndarray, " M"]:
    """Returns the frequency at the peak of each mel band."""
    return 700 * np.expm1(_band_edges_mel(front_end)[1:-1] / 1127)


def check_log_mel(log_mel: Array, subject: str = "spectrogram") -> Float32[np.ndarray, "F M"]:
    """Validates a spectrogram and returns it as a numpy array.

    Raises:
        AudioError: if it has no frames, a wrong number of bins, or non-finite values.
    """
    checked = np.asarray(log_mel, np.float32)
    if checked.ndim != 2 or checked.shape[1] != NUM_MELS or not len(checked):
        raise AudioError(subject, f"frames of {NUM_MELS} mel bins", f"shape {checked.shape}")
    bad = np.flatnonzero(~np.isfinite(checked).all(axis=1))
    if len(bad):
        raise AudioError(subject, "finite values", f"NaN or infinity in frame {bad[0]}")
    return checked


def _hz_to_mel(hz: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    return 1127 * np.log1p(hz / 700)


def _band_edges_mel(front_end: FrontEnd) -> Float64[np.ndarray, " edges"]:
    # Band i rises from edge i to its peak at edge i + 1 and falls to zero at edge i + 2.
    low, high = _hz_to_mel(np.array([front_end.low_hz, front_end.high_hz]))
    return np.linspace(low, high, front_end.num_mels + 2)


def _to_float32(audio: Shaped[Array, "*shape"]) -> Float32[jax.Array, "*shape"]:
    audio = jnp.asarray(audio)
    if audio.dtype == jnp.int16:
        return audio.astype(jnp.float32) / 32768
    if not jnp.issubdtype(audio.dtype, jnp.floating):
        raise AudioError("audio", "floating point or int16 samples", str(audio.dtype))
    return audio.astype(jnp.float32)


def _windowed_frames(
    audio: Float32[jax.Array, "*batch samples"], front_end: FrontEnd
) -> Float32[jax.Array, "*batch F fft"]:
    """Returns the windowed frames, zero-padded at the end."""
    frame, hop = front_end.frame_samples, front_end.hop_samples
    num_frames = -(-audio.shape[-1] // hop)
    # A frame is a run of consecutive blocks, so all frames are a concatenation of shifted views of
    # the blocks. This copies contiguous memory; indexing single samples would be a slow gather.
    block = math.gcd(frame, hop)
    blocks_per_frame, blocks_per_hop = frame // block, hop // block
    num_blocks = num_frames * blocks_per_hop + blocks_per_frame
    leading = audio.shape[:-1]
    padding = num_blocks * block - audio.shape[-1]
    blocks = jnp.pad(audio, [(0, 0)] * len(leading) + [(0, padding)])
    blocks = blocks.reshape(*leading, num_blocks, block)
    frames = jnp.concatenate(
        [
            blocks[..., i : i + num_frames * blocks_per_hop : blocks_per_hop, :]
            for i in range(blocks_per_frame)
        ],
        axis=-1,
    )
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)
    tail = [(0, 0)] * (frames.ndim - 1) + [(0, front_end.fft_samples - frame)]
    return jnp.pad(frames * jnp.broadcast_to(window.astype(np.float32), frames.shape), tail)
