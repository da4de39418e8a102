"""VGGish (Hershey et al., ICASSP 2017, arXiv:1609.09430), the embedding of the original FAD.

Outputs are those of the version on TF-Hub, which the paper used: without the final ReLU of some
ports and without the PCA and quantization of AudioSet's features.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32

from spectrodiff.audio.features import FrontEnd, mel_weights

FRONT_END = FrontEnd(
    frame_samples=400, hop_samples=160, fft_samples=512, num_mels=64, low_hz=125.0, high_hz=7500.0
)
LOG_OFFSET = 0.01
PATCH_FRAMES = 96
PATCH_SAMPLES = PATCH_FRAMES * FRONT_END.hop_samples  # 0.96 s, also the hop between patches
# The last frame of a patch ends this many samples after the next patch begins.
OVERHANG_SAMPLES = FRONT_END.frame_samples - FRONT_END.hop_samples

CONVOLUTIONS = ("conv1", "conv2", "conv3_1", "conv3_2", "conv4_1", "conv4_2")
# Layers whose ReLU is followed by pooling, which halves both axes.
POOLED = ("conv1", "conv2", "conv3_2", "conv4_2")
FULLY_CONNECTED = ("fc1_1", "fc1_2", "fc2")


@dataclass(frozen=True)
class VggishConfig:
    """Widths of the layers; defaults as published."""

    channels: tuple[int, ...] = (64, 128, 256, 256, 512, 512)
    hidden: tuple[int, int] = (4096, 4096)
    dims: int = 128


class Vggish(nnx.Module):
    """3x3 convolutions with pooling, then three fully connected layers."""

    def __init__(self, config: VggishConfig, *, rngs: nnx.Rngs) -> None:
        channels = 1
        for name, width in zip(CONVOLUTIONS, config.channels, strict=True):
            setattr(self, name, nnx.Conv(channels, width, (3, 3), padding="SAME", rngs=rngs))
            channels = width
        halvings = 2 ** len(POOLED)
        inputs = channels * (PATCH_FRAMES // halvings) * (FRONT_END.num_mels // halvings)
        for name, width in zip(FULLY_CONNECTED, (*config.hidden, config.dims), strict=True):
            setattr(self, name, nnx.Linear(inputs, width, rngs=rngs))
            inputs = width

    def __call__(self, log_mel: Float[Array, "P 96 64"]) -> Float[Array, "P dims"]:
        """Computes embeddings of patches of log-mel."""
        x = log_mel[..., None]
        for name in CONVOLUTIONS:
            x = nnx.relu(getattr(self, name)(x))
            if name in POOLED:
                x = nnx.max_pool(x, (2, 2), strides=(2, 2))
        x = x.reshape(len(x), -1)
        *hidden, last = FULLY_CONNECTED
        for name in hidden:
            x = nnx.relu(getattr(self, name)(x))
        return getattr(self, last)(x)


def count_patches(num_samples: int) -> int:
    """Returns the number of whole patches in audio; the remainder is ignored."""
    return max(0, num_samples - OVERHANG_SAMPLES) // PATCH_SAMPLES


def patches(samples: Float32[Array, " samples"]) -> Float32[Array, "P 96 64"]:
    """Computes patches of log(mel + 0.01), mel being of magnitudes.

    Args:
        samples: P * 15360 + 240 samples at 16 kHz.
    """
    hop, frame = FRONT_END.hop_samples, FRONT_END.frame_samples
    block = hop // 2  # a frame has five blocks; the next one starts two blocks later
    blocks = samples.reshape(-1, block)
    num_frames = (len(samples) - frame) // hop + 1
    frames = jnp.concatenate(
        [blocks[i : i + 2 * num_frames - 1 : 2] for i in range(frame // block)], axis=1
    )
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)
    spectrum = jnp.fft.rfft(frames * window[None].astype(np.float32), FRONT_END.fft_samples)
    mel = jnp.matmul(jnp.abs(spectrum), mel_weights(FRONT_END), precision="highest")
    return jnp.log(mel + LOG_OFFSET).reshape(-1, PATCH_FRAMES, FRONT_END.num_mels)
