"""Sampling settings; every model carries its best ones."""

import dataclasses
import math
from typing import Any, TypedDict, Unpack

from spectrodiff.core.config import check_types, require
from spectrodiff.diffusion.sampler import Sampler, SamplerName


class SamplingChanges(TypedDict, total=False):
    """Changes to the settings of `Sampling`; None means no change."""

    sampler: SamplerName | None
    steps: int | None
    guidance: float | None
    variance: str | None
    mask_context: bool | None


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Settings for sampling from a diffusion model; the defaults are the paper's (section 3.3).

    Attributes:
        sampler: "ddpm", "ddim" or "dpmpp" (see `spectrodiff.diffusion.sampler.Sampler`).
        steps: denoising steps per segment, at least 1.
        guidance: guidance weight w; 1 disables guidance and halves the cost, larger weights amplify
            the effect of notes and context.
        variance: variance of the "ddpm" sampler: "large", "small", or "medium:f" with f in [0, 1].
        mask_context: whether every segment is generated without context, like the first of a song,
            to hear what the context does; models without context ignore it.
    """

    sampler: SamplerName = "ddpm"
    steps: int = 1000
    guidance: float = 2.0
    variance: str = "large"
    mask_context: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        require(math.isfinite(self.guidance), "Sampling.guidance", "a finite number", self.guidance)
        self.solver()  # raises ConfigError for invalid settings

    def but(self, **changes: Unpack[SamplingChanges]) -> "Sampling":
        """Returns these settings with some changes.

        Raises:
            ConfigError: if a setting is invalid.
        """
        given: dict[str, Any] = {
            name: value for name, value in changes.items() if value is not None
        }
        return dataclasses.replace(self, **given)

    def solver(self) -> Sampler:
        """Returns the sampler with these settings."""
        return Sampler(self.sampler, self.steps, self.variance)


PAPER_SAMPLING = Sampling()
# Best for small models; for measurements see `weights/README.md`.
FEW_STEPS = Sampling("dpmpp", steps=8, guidance=1.5)
