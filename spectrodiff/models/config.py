"""Sizes of the networks."""

import dataclasses
from typing import Literal, get_args

from spectrodiff.core.constants import FRAMES_PER_SECOND
from spectrodiff.core.errors import ConfigError

NetworkKind = Literal["diffusion", "autoregressive"]
CrossAttention = Literal["concatenate", "sum"]
PositionTable = Literal["random_phase", "random_phase_trained", "sinusoid", "random_trained"]
ContextPositions = Literal["from_end", "from_start"]

# Far above anything that has been trained, and low enough that the names of all layers and the
# tables of a segment can be made. Files can hold any number.
LARGEST = {
    "width": 1 << 15,
    "heads": 1 << 10,
    "head_width": 1 << 12,
    "mlp_width": 1 << 18,
    "encoder_layers": 1 << 10,
    "decoder_layers": 1 << 10,
    "vocabulary_size": 1 << 20,
    "note_tokens": 1 << 14,
    "target_frames": 1 << 14,
    "context_frames": 1 << 14,
    "mel_bins": 1 << 12,
    "estimates": 1 << 4,
}


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Sizes and structure of a synthesizer's network.

    Axis letters used in this package: B batch, N note tokens, F target frames, C context frames,
    M mel bins, D model width, H heads, K head width, L layers. `LARGEST` has the upper bound of
    each size.

    Attributes:
        width: D, an even number.
        heads: H.
        head_width: K; heads * head_width may differ from the width.
        mlp_width: width of the hidden layer of feed-forward blocks.
        encoder_layers: layers of the note encoder, and of the context encoder.
        decoder_layers: layers of the decoder.
        vocabulary_size: rows of the token embedding: 1536 for V = 1 velocity bins, 1664 for 127.
        note_tokens: N, maximum number of tokens per segment.
        target_frames: F, frames of a segment, 50 per second.
        context_frames: C; 0 builds a network without context encoder.
        mel_bins: M.
        cross_attention: "concatenate" for one attention to notes and context side by side; "sum"
            for one each, the paper's ablation.
        dropout: rate in [0, 1).
        kind: "diffusion", or "autoregressive" for the paper's baseline, which has no context.
        estimates: outputs for every mel bin: 2 if the network predicts x0 and eps.
        positions: position tables (see `models.positions`); an autoregressive network has plain
            sinusoids.
        context_positions: whether frames of the context are counted "from_end", from the newest
            backwards, or "from_start".

    Raises:
        ConfigError: if a value is out of its range, or does not fit the others.
    """

    width: int
    heads: int
    head_width: int
    mlp_width: int
    encoder_layers: int
    decoder_layers: int
    vocabulary_size: int = 1536
    note_tokens: int = 2048
    target_frames: int = 256
    context_frames: int = 256
    mel_bins: int = 128
    cross_attention: CrossAttention = "concatenate"
    dropout: float = 0.1
    kind: NetworkKind = "diffusion"
    estimates: int = 1
    positions: PositionTable = "random_phase"
    context_positions: ContextPositions = "from_end"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is int or field.type == "int":
                minimum = 0 if field.name == "context_frames" else 1
                if type(value) is not int or not minimum <= value <= LARGEST[field.name]:
                    expected = f"a whole number from {minimum} to {LARGEST[field.name]}"
                    raise ConfigError(f"ModelConfig.{field.name}", expected, repr(value))
        if self.width % 2:
            expected = "an even number, half for sines and half for cosines of times and positions"
            raise ConfigError("ModelConfig.width", expected, repr(self.width))
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
        """Length of a segment in seconds."""
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
