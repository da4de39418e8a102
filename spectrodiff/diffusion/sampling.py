"""Sampling settings; every model carries its best ones."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

from spectrodiff.core.config import check_types, require
from spectrodiff.diffusion.guidance import UNGUIDED, Branches, Weights
from spectrodiff.diffusion.sampler import Sampler, SamplerName, Spacing
from spectrodiff.diffusion.schedule import CosineSchedule, Schedule

# Settings that explicit times of the steps belong to.
_TIMED_BY = ("steps", "spacing", "start")
# Times that differ by less count as equal, because 0.96 * 5 / 8 is not quite 0.6.
_SAME_TIME = 1e-9


class SamplingChanges(TypedDict, total=False):
    """Changes to the settings of `Sampling`; None means no change."""

    sampler: SamplerName | None
    steps: int | None
    guidance: float | None
    variance: str | None
    mask_context: bool | None
    spacing: Spacing | None
    times: tuple[float, ...] | None
    start: float | None
    guidance_times: tuple[float, ...] | None
    context_guidance: float | None
    overlap: int | None


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
        spacing: "time" for steps of equal length in time, "logsnr" in log signal-to-noise ratio.
        times: decreasing times in (0, 1] that the steps start from, one per step, such as times
            fitted to a model; None to divide [0, start] by `spacing`, of which both have no effect
            otherwise. `but` drops them if it changes steps, spacing or start, and not the times.
        start: time of the first step, in (0, 1]. Networks that predict eps tell nothing of x0 at
            t = 1, where the signal scale they are divided by is 5e-5; 0.96 leaves such times out.
        guidance_times: lowest and highest time of the steps that are guided (Kynkäänniemi et al.
            2024), each in [0, 1]; other steps evaluate the network once instead of twice.
        context_guidance: guidance weight of the context, beside `guidance` for the notes alone
            (see `guidance.guide_apart`); None, or an equal number, for one weight for both. Another
            weight adds an evaluation to every guided step. Ignored by models without context, and
            with `mask_context`.
        overlap: number of frames that a segment shares with the one before it, 0 up to half a
            segment. They are known, and held fixed while the rest is sampled, so that the rest
            continues them. Each segment then adds fewer frames, which costs as much more.

    Raises:
        ConfigError: if a setting is invalid.
    """

    sampler: SamplerName = "ddpm"
    steps: int = 1000
    guidance: float = 2.0
    variance: str = "large"
    mask_context: bool = False
    spacing: Spacing = "time"
    times: tuple[float, ...] | None = None
    start: float = 1.0
    guidance_times: tuple[float, ...] = (0.0, 1.0)
    context_guidance: float | None = None
    overlap: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("guidance", "context_guidance"):
            weight = getattr(self, name)
            finite = weight is None or math.isfinite(weight)
            require(finite, f"Sampling.{name}", "a finite number", weight)
        ends = self.guidance_times
        inside = len(ends) == 2 and 0 <= ends[0] <= ends[1] <= 1
        expected = "two times in [0, 1], the lower one first"
        require(inside, "Sampling.guidance_times", expected, ends)
        require(self.overlap >= 0, "Sampling.overlap", "a number of frames >= 0", self.overlap)
        self.solver()  # raises ConfigError for invalid settings

    def but(self, **changes: Unpack[SamplingChanges]) -> "Sampling":
        """Returns these settings with some changes; None means no change.

        Times alone also set the number of steps. Another number of steps, spacing or start without
        times drops the times of these settings.

        Args:
            **changes: new values of settings, by name.

        Raises:
            ConfigError: if a setting is invalid.
        """
        return Sampling(**combine(changes, vars(self)))

    def for_network(self, *, has_context: bool) -> "Sampling":
        """Returns the settings that a network can follow: without context, none guides by it."""
        return self if has_context else dataclasses.replace(self, context_guidance=None)

    def solver(self) -> Sampler:
        """Returns the sampler with these settings."""
        return Sampler(
            self.sampler, self.steps, self.variance, self.spacing, self.times, self.start
        )

    @property
    def guided_branches(self) -> Branches:
        """Conditions that a guided step is evaluated under, for a model with context."""
        apart = self.context_guidance not in (None, self.guidance) and not self.mask_context
        return Branches(notes=apart, neither=self.guidance != 1.0)

    @property
    def weights(self) -> Weights:
        """Guidance weights of a guided step."""
        context = self.guidance if self.context_guidance is None else self.context_guidance
        return Weights(self.guidance, context)

    def branches(self, schedule: Schedule) -> list[Branches]:
        """Returns the evaluations of each step, for a model with context."""
        guided = self.guided_branches
        low, high = self.guidance_times
        times = self.solver().grid(schedule)[:-1]
        inside = (times >= low - _SAME_TIME) & (times <= high + _SAME_TIME)
        return [guided if step else UNGUIDED for step in inside.tolist()]

    @property
    def evaluations(self) -> int:
        """Number of network evaluations per segment, one for each branch of each step.

        For a model with context and the cosine schedule. Another schedule matters only if steps
        are spaced by log-SNR and a part of them is guided.
        """
        return sum(branches.evaluations for branches in self.branches(CosineSchedule()))


def combine(changes: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Returns defaults with changes that are not None; times as in `Sampling.but`."""
    given = {name: value for name, value in changes.items() if value is not None}
    combined = {**defaults, **given}
    times, before = given.get("times"), defaults.get("times")
    if isinstance(times, list | tuple):
        combined["steps"] = given.get("steps", len(times))
    elif times is None and isinstance(before, list | tuple):
        belongs_to = {**defaults, "steps": len(before)}
        if any(name in given and given[name] != belongs_to.get(name) for name in _TIMED_BY):
            combined["times"] = None
    return combined


PAPER_SAMPLING = Sampling()
# Best for small models; for measurements see `docs/five_instruments.md`.
FEW_STEPS = Sampling("dpmpp", steps=8, guidance=1.5)
