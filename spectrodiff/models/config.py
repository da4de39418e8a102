"""Sizes of the networks."""

import dataclasses
from typing import Literal, get_args

from spectrodiff.core.constants import FRAMES_PER_SECOND
from spectrodiff.core.errors import ConfigError

NetworkKind = Literal["diffusion", "autoregressive"]
CrossAttention = Literal["concatenate", "sum"]
PositionTable = Literal["random_phase", "random_phase_trained", "sinusoid", "random_trained"]
ContextPositions = Literal["from_end", "from_start"]

MAX_SIZE = 2**31 - 1  # of an axis: JAX indexes with int32


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Sizes and structure of a synthesizer's network.

    Axis letters used in this package: B batch, N note tokens, F target frames, C context frames,
    M mel bins, D model width, H heads, K head width, L layers.
    """

    width: int  # D
    heads: int  # H
    head_width: int  # K; heads * head_width may differ from the width
    mlp_width: int
    encoder_layers: int  # of the note encoder, and of the context encoder
    decoder_layers: int
    vocabulary_size: int = 1536  # rows of the token embedding: 1536 for V = 1, 1664 for V = 127
    note_tokens: int = 2048  # N, maximum per segment
    target_frames: int = 256  # F
    context_frames: int = 256  # C; 0 builds a network without context encoder
    mel_bins: int = 128  # M
    cross_attention: CrossAttention = "concatenate"  # "sum" is the paper's ablation
    dropout: float = 0.1
    kind: NetworkKind = "diffusion"  # "autoregressive" is the paper's baseline; it has no context
    # Outputs for every mel bin: 2 if the network predicts x0 and eps.
    estimates: int = 1
    # Position tables (see `models.positions`); an autoregressive network has plain sinusoids.
    positions: PositionTable = "random_phase"
    # Whether frames of the context are counted from its newest frame backwards, or from its oldest.
    context_positions: ContextPositions = "from_end"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is int or field.type == "int":
                minimum = 0 if field.name == "context_frames" else 1
                if type(value) is not int or not minimum <= value <= MAX_SIZE:
                    expected = f"a whole number from {minimum} to {MAX_SIZE}"
                    raise ConfigError(f"ModelConfig.{field.name}", expected, repr(value))
        for name, choices in (
            ("cross_attention", CrossAttention),
            ("kind", NetworkKind),
            ("positions", PositionTable),
            ("context_positions", ContextPositions),
        ):
            if getattr(self, name) not in get_args(choices):
                raise ConfigError(
                    f"ModelConfig.{name}",
                    " or ".join(map(repr, get_args(choices))),
                    repr(getattr(self, name)),
                )
        if self.kind == "autoregressive" and self.context_frames:
            raise ConfigError(
                "ModelConfig.context_frames",
                "0 for an autoregressive network, which has no context",
                repr(self.context_frames),
            )
        denoises = self.kind == "diffusion"
        for name, default, network, usable in (
            ("cross_attention", "concatenate", "without context", self.has_context),
            ("context_positions", "from_end", "without context", self.has_context),
            ("positions", "random_phase", "in an autoregressive network", denoises),
            ("estimates", 1, "in an autoregressive network", denoises),
        ):
            value = getattr(self, name)
            if value != default and not usable:
                raise ConfigError(f"ModelConfig.{name}", f"{default!r} {network}", repr(value))
        if not 0 <= self.dropout < 1:
            raise ConfigError("ModelConfig.dropout", "a rate in [0, 1)", repr(self.dropout))

    @property
    def segment_seconds(self) -> float:
        """Length of a segment."""
        return self.target_frames / FRAMES_PER_SECOND

    @property
    def has_context(self) -> bool:
        """True if the network has a context encoder."""
        return self.context_frames > 0

    @property
    def trains_positions(self) -> bool:
        """True if the position tables are trained."""
        return self.positions in ("random_phase_trained", "random_trained")


# "small" and "base" are the paper's sizes (for base, its text gives width 758; the released weights
# have 768), "large" is in the released code only. "tiny" is for tests and experiments on a CPU.
SIZES: dict[str, ModelConfig] = {
    "tiny": ModelConfig(
        width=64, heads=2, head_width=32, mlp_width=128, encoder_layers=2, decoder_layers=2
    ),
    "small": ModelConfig(
        width=512, heads=6, head_width=64, mlp_width=1024, encoder_layers=8, decoder_layers=8
    ),
    "base": ModelConfig(
        width=768, heads=12, head_width=64, mlp_width=2048, encoder_layers=12, decoder_layers=12
    ),
    "large": ModelConfig(
        width=1024, heads=16, head_width=64, mlp_width=2816, encoder_layers=24, decoder_layers=24
    ),
}
