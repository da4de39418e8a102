"""Sizes of the inverters that can be trained, in one table."""

import dataclasses
from typing import Any

from spectrodiff.core.errors import ConfigError


def _check_sizes(config: Any) -> None:
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if type(value) is not int or not 1 <= value <= 1 << 16:
            subject = f"{type(config).__name__}.{field.name}"
            raise ConfigError(subject, "a whole number from 1 to 65536", repr(value))


def _require(condition: bool, subject: str, expected: str) -> None:
    if not condition:
        raise ConfigError(subject, expected, "another")


@dataclasses.dataclass(frozen=True)
class FrameRateConfig:
    """A generator that works at 50 frames per second and ends in an inverse Fourier transform.

    Axis letters: F frames, M mel bins, D width, L layers, W samples of a window, K Fourier bins.
    """

    width: int  # D
    hidden_width: int
    layers: int  # L
    kernel_frames: int = 7
    window_samples: int = 1280  # W: four hops, so that every sample lies under four windows

    def __post_init__(self) -> None:
        _check_sizes(self)
        _require(self.kernel_frames % 2 == 1, "FrameRateConfig.kernel_frames", "an odd number")
        # Bins and hops have to divide evenly, and windows to be centred on the features' frames.
        _require(
            self.window_samples % 640 == 0, "FrameRateConfig.window_samples", "a multiple of 640"
        )

    @property
    def fourier_bins(self) -> int:
        """K."""
        return self.window_samples // 2 + 1


@dataclasses.dataclass(frozen=True)
class RecurrentConfig(FrameRateConfig):
    """A generator at 50 frames per second whose phases go on from those of the frame before."""


@dataclasses.dataclass(frozen=True)
class MelganConfig:
    """The paper's generator: transposed convolutions from 50 frames to 16,000 samples per second.

    Attributes:
        width: channels before the first upsampling; each of the four halves them.
    """

    width: int

    def __post_init__(self) -> None:
        _check_sizes(self)
        _require(self.width % 16 == 0, "MelganConfig.width", "a multiple of 16")


InverterConfig = FrameRateConfig | RecurrentConfig | MelganConfig

# "frame_rate" is small enough to come with the package: 4 million parameters. "melgan" has the 14
# million of the paper's. The others are for tests and for trying things out on a CPU.
SIZES: dict[str, InverterConfig] = {
    "tiny": FrameRateConfig(width=32, hidden_width=64, layers=2),
    "frame_rate": FrameRateConfig(width=256, hidden_width=768, layers=8),
    "recurrent_tiny": RecurrentConfig(width=32, hidden_width=64, layers=2),
    "recurrent": RecurrentConfig(width=256, hidden_width=768, layers=8),
    "melgan_tiny": MelganConfig(width=32),
    "melgan": MelganConfig(width=1024),
}
KINDS: dict[str, type[InverterConfig]] = {
    "frame_rate": FrameRateConfig,
    "recurrent": RecurrentConfig,
    "melgan": MelganConfig,
}


def as_dict(config: InverterConfig) -> dict[str, Any]:
    """Kind and sizes, as JSON can hold them; see `from_dict`."""
    (kind,) = (kind for kind, cls in KINDS.items() if type(config) is cls)
    return {"kind": kind, **dataclasses.asdict(config)}


def from_dict(sizes: dict[str, Any]) -> InverterConfig:
    """The inverse of `as_dict`.

    Raises:
        ConfigError: if there is no such kind, or its sizes are missing, unknown or impossible.
    """
    kind = sizes.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError("kind of inverter", f"one of {', '.join(KINDS)}", repr(kind))
    fields = {name: value for name, value in sizes.items() if name != "kind"}
    known = {field.name for field in dataclasses.fields(KINDS[kind])}
    if fields.keys() != known:
        raise ConfigError(f"sizes of a {kind} inverter", ", ".join(known), ", ".join(fields))
    return KINDS[kind](**fields)
