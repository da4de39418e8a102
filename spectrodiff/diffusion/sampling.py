"""Settings of how a diffusion model is run; every model carries the ones it does best with."""

import dataclasses
import math
from typing import Any, Self, TypedDict, Unpack

from spectrodiff.core.config import check_types, require
from spectrodiff.diffusion.sampler import Sampler, SamplerName


class SamplingChanges(TypedDict, total=False):
    """Settings of `Sampling` that are to differ; None changes nothing."""

    sampler: SamplerName | None
    steps: int | None
    guidance: float | None
    variance: str | None


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Settings of how a diffusion model is run; the defaults are the paper's (section 3.3).

    Attributes:
        sampler: "ddpm", "ddim" or "dpmpp" (see `spectrodiff.diffusion.sampler.Sampler`).
        steps: denoising steps per segment, at least 1.
        guidance: guidance weight w; 1 follows the model as it is and costs half, more exaggerates
            what the notes and the context change.
        variance: of the "ddpm" sampler: "large", "small", or "medium:f" with f in 0..1.
    """

    sampler: SamplerName = "ddpm"
    steps: int = 1000
    guidance: float = 2.0
    variance: str = "large"

    def __post_init__(self) -> None:
        check_types(self)
        require(math.isfinite(self.guidance), "Sampling.guidance", "a finite number", self.guidance)
        self.solver()  # refuses what is impossible

    def but(self, **changes: Unpack[SamplingChanges]) -> Self:
        """The same with some settings changed.

        Raises:
            ConfigError: if a setting is impossible.
        """
        asked: dict[str, Any] = {
            name: value for name, value in changes.items() if value is not None
        }
        return dataclasses.replace(self, **asked)

    def solver(self) -> Sampler:
        """The sampler with its steps."""
        return Sampler(self.sampler, self.steps, self.variance)


PAPER_SAMPLING = Sampling()
# What small models do best with; `weights/README.md` has the measurements.
FEW_STEPS = Sampling("dpmpp", steps=8, guidance=1.5)
