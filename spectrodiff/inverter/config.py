"""Sizes of the inverters that can be trained."""

import dataclasses
import reprlib
from typing import Any

from spectrodiff.core.config import require
from spectrodiff.core.errors import ConfigError

# Largest sizes, many times those in use.
_MOST = {
    "width": 1 << 14,
    "hidden_width": 1 << 16,
    "layers": 256,
    "kernel_frames": 255,
    "window_samples": 640 * 64,
}


def _check_sizes(config: "InverterConfig") -> None:
    for field in dataclasses.fields(config):
        value, most = getattr(config, field.name), _MOST[field.name]
        if type(value) is not int or not 1 <= value <= most:
            subject = f"{type(config).__name__}.{field.name}"
            raise ConfigError(subject, f"a whole number from 1 to {most}", reprlib.repr(value))


@dataclasses.dataclass(frozen=True)
class FrameRateConfig:
    """Sizes of a generator at 50 frames per second with an inverse Fourier transform at its end.

    Axis letters: F frames, M mel bins, D width, L layers, W samples of a window, K Fourier bins.
    """

    width: int  # D
    hidden_width: int
    layers: int  # L
    kernel_frames: int = 7
    window_samples: int = 1280  # W: four hops, so that every sample is covered by four windows

    def __post_init__(self) -> None:
        _check_sizes(self)
        taps, window = self.kernel_frames, self.window_samples
        require(taps % 2 == 1, "FrameRateConfig.kernel_frames", "an odd number", taps)
        # Whole numbers of hops, and windows centered on the frames of the features.
        require(window % 640 == 0, "FrameRateConfig.window_samples", "a multiple of 640", window)

    @property
    def fourier_bins(self) -> int:
        """Number of Fourier bins, K."""
        return self.window_samples // 2 + 1


@dataclasses.dataclass(frozen=True)
class RecurrentConfig(FrameRateConfig):
    """Sizes of a generator whose phases continue those of the frame before."""


@dataclasses.dataclass(frozen=True)
class MelganConfig:
    """Sizes of the paper's generator: transposed convolutions from 50 Hz to 16 kHz.

    Attributes:
        width: channels before the first upsampling; each of the four blocks halves them.
    """

    width: int

    def __post_init__(self) -> None:
        _check_sizes(self)
        require(self.width % 16 == 0, "MelganConfig.width", "a multiple of 16", self.width)


InverterConfig = FrameRateConfig | RecurrentConfig | MelganConfig

# "frame_rate" has 4 million parameters, "recurrent" 7 million, "melgan" 14 million as in the paper.
# The "tiny" ones are for tests and experiments on a CPU.
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
    """Returns kind and sizes as JSON values, for `from_dict`."""
    (kind,) = (kind for kind, cls in KINDS.items() if type(config) is cls)
    return {"kind": kind, **dataclasses.asdict(config)}


def from_dict(sizes: dict[str, Any]) -> InverterConfig:
    """Returns the sizes that `as_dict` converted.

    Raises:
        ConfigError: if the kind is unknown, or its sizes are missing, unknown or invalid.
    """
    kind = sizes.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError("kind of inverter", f"one of {', '.join(KINDS)}", reprlib.repr(kind))
    fields = {name: value for name, value in sizes.items() if name != "kind"}
    known = {field.name for field in dataclasses.fields(KINDS[kind])}
    if fields.keys() != known:
        got = ", ".join(map(reprlib.repr, fields)) if len(fields) < 20 else f"{len(fields)} others"
        raise ConfigError(f"sizes of a {kind} inverter", ", ".join(known), got)
    return KINDS[kind](**fields)
