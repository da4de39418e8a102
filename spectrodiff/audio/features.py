"""Audio to log-mel spectrogram and its scaling for the network, in JAX.

Everything here can run inside a jitted training step, so recordings travel as int16 samples and are
analysed on the accelerator. Axis letters: F frames, M mel bins.
"""

import functools
import math
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.core.constants import (
    EXTRA_FRAMES,
    HOP_SAMPLES,
    MAX_LOG_MEL,
    MIN_LOG_MEL,
    NUM_MELS,
    SAMPLE_RATE,
)
from spectrodiff.core.errors import AudioError

Array = np.ndarray | jax.Array


@dataclass(frozen=True)
class FrontEnd:
    """How audio becomes a log-mel spectrogram.

    Attributes:
        sample_rate: in Hz.
        frame_samples: length of the periodic Hann window.
        hop_samples: distance between the starts of neighbouring frames.
        fft_samples: length of the Fourier transform; each windowed frame is zero-padded at its end.
        num_mels: number of triangular bands, M.
        low_hz: where the lowest band begins.
        high_hz: where the highest band ends.
        floor: "clip" limits magnitudes to [1e-5, 1e8] before the logarithm; "zeros" puts 1e-5 in
            place of zeros and leaves everything else as it is.
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
"""What the synthesiser is trained to produce."""

TRANSCRIPTION = FrontEnd(
    frame_samples=2048,
    hop_samples=128,
    fft_samples=2048,
    num_mels=512,
    low_hz=20.0,
    high_hz=7600.0,
    floor="zeros",
)
"""What the MT3 transcriber listens to."""


@functools.partial(jax.jit, static_argnames="front_end")
def log_mel(audio: Array, front_end: FrontEnd = SYNTHESIS) -> jax.Array:
    """Returns the log-mel spectrogram of mono audio, natural logarithm of magnitudes.

    Args:
        audio: [..., samples], floating point in [-1, 1] or int16.
        front_end: the analysis to use.

    Returns:
        float32 [..., F, M], unscaled. Frame i covers the samples from i * hop on; the end is padded
        with zeros, so that F = ceil(samples / hop).

    Raises:
        AudioError: if the samples are of another type.
    """
    magnitudes = jnp.abs(jnp.fft.rfft(_windowed_frames(_to_float32(audio), front_end)))
    mel = jnp.matmul(magnitudes, mel_weights(front_end), precision="highest")
    if front_end.floor == "clip":
        return jnp.log(jnp.clip(mel, 1e-5, 1e8))
    return jnp.log(jnp.where(mel <= 0, 1e-5, mel))


def segment_log_mel(samples: Array, front_end: FrontEnd = SYNTHESIS) -> jax.Array:
    """Returns the features of a segment cut by `cut_segment`, without its extra frames.

    Args:
        samples: [..., (F + EXTRA_FRAMES) * hop], floating point or int16.
        front_end: the analysis to use.

    Returns:
        float32 [..., F, M], unscaled: what `log_mel` of the whole recording has at these frames.
    """
    return log_mel(samples, front_end)[..., :-EXTRA_FRAMES, :]


def cut_segment(
    audio: np.ndarray, start_frame: int, num_frames: int, hop_samples: int = HOP_SAMPLES
) -> np.ndarray:
    """Cuts frames out of a recording, with the audio after them that `segment_log_mel` needs.

    Args:
        audio: [samples] of any type.
        start_frame: the first frame; may be negative.
        num_frames: how many frames the segment has.
        hop_samples: samples per frame.

    Returns:
        [(num_frames + EXTRA_FRAMES) * hop_samples] of the same type, zero before the start and past
        the end of the recording.
    """
    start = start_frame * hop_samples
    stop = start + (num_frames + EXTRA_FRAMES) * hop_samples
    inside = audio[max(start, 0) : max(stop, 0)]
    before = min(max(-start, 0), stop - start)
    return np.pad(inside, (before, stop - start - before - len(inside)))


def scale(log_mel: Array) -> jax.Array:
    """Maps unscaled log-mel to what the network sees: [ln 1e-5, 4] to [-1, 1], clipped."""
    unit = (jnp.asarray(log_mel) - MIN_LOG_MEL) / (MAX_LOG_MEL - MIN_LOG_MEL)
    return jnp.clip(2 * unit - 1, -1.0, 1.0)


def unscale(scaled_mel: Array) -> jax.Array:
    """Maps network features in [-1, 1] back to log-mel, the inverse of `scale`."""
    return (jnp.asarray(scaled_mel) + 1) / 2 * (MAX_LOG_MEL - MIN_LOG_MEL) + MIN_LOG_MEL


@functools.cache
def mel_weights(front_end: FrontEnd = SYNTHESIS) -> np.ndarray:
    """Returns float32 [fft // 2 + 1, M]: the share of every Fourier bin in every mel band.

    Bands are triangles on the mel axis (not on the frequency axis) with unit peaks; the constant
    (0 Hz) belongs to none.
    """
    bin_hz = np.linspace(0, front_end.sample_rate / 2, front_end.fft_samples // 2 + 1)
    edges = _band_edges_mel(front_end)
    mel = _hz_to_mel(bin_hz)[:, np.newaxis]
    low, peak, high = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((mel - low) / (peak - low), (high - mel) / (high - peak))
    weights = np.maximum(triangles, 0).astype(np.float32)
    weights.setflags(write=False)
    return weights


def mel_centers_hz(front_end: FrontEnd = SYNTHESIS) -> np.ndarray:
    """Returns float64 [M]: the frequency at the peak of every mel band."""
    return 700 * np.expm1(_band_edges_mel(front_end)[1:-1] / 1127)


def check_log_mel(log_mel: Array, subject: str = "spectrogram") -> np.ndarray:
    """Returns `log_mel` as a float32 numpy array [F, M] that can be inverted or drawn.

    Raises:
        AudioError: if it has no frames, another number of bins, or values that are not finite.
    """
    checked = np.asarray(log_mel, np.float32)
    if checked.ndim != 2 or checked.shape[1] != NUM_MELS or not len(checked):
        raise AudioError(subject, f"frames of {NUM_MELS} mel bins", f"shape {checked.shape}")
    bad = np.flatnonzero(~np.isfinite(checked).all(axis=1))
    if len(bad):
        raise AudioError(subject, "finite values", f"NaN or infinity in frame {bad[0]}")
    return checked


def _hz_to_mel(hz: np.ndarray) -> np.ndarray:
    return 1127 * np.log1p(hz / 700)


def _band_edges_mel(front_end: FrontEnd) -> np.ndarray:
    # Band i rises from edge i to its peak at edge i + 1 and falls until edge i + 2.
    low, high = _hz_to_mel(np.array([front_end.low_hz, front_end.high_hz]))
    return np.linspace(low, high, front_end.num_mels + 2)


def _to_float32(audio: Array) -> jax.Array:
    audio = jnp.asarray(audio)
    if audio.dtype == jnp.int16:
        return audio.astype(jnp.float32) / 32768
    if not jnp.issubdtype(audio.dtype, jnp.floating):
        raise AudioError("audio", "floating point or int16 samples", str(audio.dtype))
    return audio.astype(jnp.float32)


def _windowed_frames(audio: jax.Array, front_end: FrontEnd) -> jax.Array:
    """Returns [..., F, fft]: frames times the window, zero-padded at their ends."""
    frame, hop = front_end.frame_samples, front_end.hop_samples
    num_frames = -(-audio.shape[-1] // hop)
    # A frame is a run of neighbouring blocks, so shifted views of the blocks side by side are all
    # frames; this copies contiguous memory where indexing sample by sample would be a slow gather.
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
