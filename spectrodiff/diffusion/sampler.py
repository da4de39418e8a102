"""Samplers: from noise to features by repeated denoising.

A sampler does not depend on networks, guidance or notes: it is given `denoise(z, time) -> x0`. A
step evaluates the network once and is linear,

    z_s = a z_t + b x0(z_t) + c x0(z_t of the step before) + d noise,

so a sampler is a table of four coefficients per step, computed in float64 beforehand. A method with
two evaluations per step has two rows of the table per step. In the formulas, t is the time a step
starts from, s < t the time it ends at, r = SNR(t) / SNR(s), and lambda = logsnr / 2.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int

from spectrodiff.core.config import require
from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.schedule import Schedule, alpha_sigma

SamplerName = Literal["ddpm", "ddim", "dpmpp"]
Spacing = Literal["time", "logsnr"]
MAX_STEPS = 100_000  # the paper takes 1000


class Steps(NamedTuple):
    """Times and coefficients of all steps in the order of sampling, or scalars for one of them."""

    time: Float[Array, "*steps"]  # t
    alpha: Float[Array, "*steps"]  # signal scale at t
    sigma: Float[Array, "*steps"]  # noise scale at t
    z: Float[Array, "*steps"]  # coefficient a
    x0: Float[Array, "*steps"]  # coefficient b
    previous_x0: Float[Array, "*steps"]  # coefficient c
    noise: Float[Array, "*steps"]  # coefficient d


class Carry(NamedTuple):
    """State between two steps."""

    z: Float[Array, "B F M"]
    previous_x0: Float[Array, "B F M"]


@dataclasses.dataclass(frozen=True)
class Sampler:
    """Sampling method from noise to t = 0, its number of steps and their times.

    Args:
        name: "ddpm" is ancestral sampling, the paper's choice with 1000 steps; "ddim" is its
            deterministic variant (Song et al. 2021); "dpmpp" is DPM-Solver++(2M) (Lu et al. 2022,
            algorithm 2), a second-order solver of the same equation for few steps.
        steps: number of denoising steps, at most 100,000.
        variance: noise variance of ancestral steps: "large" is (1 - r) sigma_t^2, "small"
            (1 - r) sigma_s^2, and "medium:f" interpolates their logarithms, f = 1 being large.
        spacing: "time" for steps of equal length in time, "logsnr" in log signal-to-noise ratio.
        times: decreasing times in (0, 1] that the steps start from, one per step; None to divide
            [0, start] by `spacing`, of which both have no effect otherwise.
        start: time of the first step, in (0, 1]. Sampling starts from unit noise at every time.

    Raises:
        ConfigError: if a value is invalid.
    """

    name: str = "ddpm"
    steps: int = 1000
    variance: str = "large"
    spacing: str = "time"
    times: tuple[float, ...] | None = None
    start: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in get_args(SamplerName):
            raise ConfigError("sampler", f"one of {', '.join(get_args(SamplerName))}", self.name)
        if self.spacing not in get_args(Spacing):
            raise ConfigError("spacing", f"one of {', '.join(get_args(Spacing))}", self.spacing)
        whole = isinstance(self.steps, int) and not isinstance(self.steps, bool)
        require(whole and self.steps >= 1, "steps", "a whole number >= 1", self.steps)
        require(self.steps <= MAX_STEPS, "steps", f"at most {MAX_STEPS}", self.steps)
        require(0 < self.start <= 1, "start", "a time in (0, 1]", self.start)
        if self.times is not None:
            possible = all(0 < time <= 1 for time in self.times)
            decreasing = all(s < t for t, s in itertools.pairwise(self.times))
            require(possible and decreasing, "times", "decreasing times in (0, 1]", self.times)
            as_many = len(self.times) == self.steps
            require(as_many, "times", f"{self.steps} times, one per step", self.times)
        large_fraction(self.variance)

    @property
    def stochastic(self) -> bool:
        """True if steps add noise."""
        return self.name == "ddpm"

    def table(self, schedule: Schedule) -> Steps:
        """Returns the coefficients of every step, in the order of sampling.

        Args:
            schedule: noise schedule of the network.
        """
        return step_table(self, schedule, self.grid(schedule))

    def grid(self, schedule: Schedule) -> Float64[np.ndarray, " times"]:
        """Returns the times that the steps start from, and 0, the time that the last ends at."""
        if self.times is not None:
            return np.array([*self.times, 0.0])
        return grid(schedule, self.steps, self.spacing, self.start)


def large_fraction(variance: str) -> float:
    """Parses the interpolation factor, in [0, 1], of a variance; ConfigError for other names."""
    kind, _, fraction = variance.partition(":")
    try:
        value = {"large": 1.0, "small": 0.0}[kind] if not fraction else float(fraction)
    except (KeyError, ValueError):
        value = -1.0
    if not 0.0 <= value <= 1.0 or (fraction and kind != "medium"):
        raise ConfigError("variance", "'small', 'large' or 'medium:f' with f in [0, 1]", variance)
    return value


def grid(
    schedule: Schedule, steps: int, spacing: str = "time", start: float = 1.0
) -> Float64[np.ndarray, " times"]:
    """Returns `steps` + 1 times from `start` down to 0."""
    times = np.arange(steps, -1, -1) / steps
    if spacing == "time":
        return start * times
    # The inverses of the schedules differ; bisection works for every monotone schedule.
    first, last = schedule.logsnr(np.array([start, 0.0]))
    wanted = first + (last - first) * (1.0 - times)
    low, high = np.zeros(steps + 1), np.ones(steps + 1)
    for _ in range(60):
        middle = (low + high) / 2
        too_noisy = schedule.logsnr(middle) < wanted
        low, high = np.where(too_noisy, low, middle), np.where(too_noisy, middle, high)
    times = (low + high) / 2
    times[0], times[-1] = start, 0.0
    return times


def step_table(sampler: Sampler, schedule: Schedule, times: Float64[np.ndarray, " times"]) -> Steps:
    """Computes the coefficients of the steps between decreasing times.

    The result of a step to t = 0 is x0, without the noise that the schedule leaves there.
    """
    logsnr = schedule.logsnr(times)
    alpha, sigma = alpha_sigma(logsnr)
    alpha_t, sigma_t, alpha_s, sigma_s = alpha[:-1], sigma[:-1], alpha[1:], sigma[1:]
    r = np.exp(logsnr[:-1] - logsnr[1:])
    nothing = np.zeros_like(alpha_t)
    if sampler.name == "ddpm":
        rest = -np.expm1(logsnr[:-1] - logsnr[1:])  # 1 - r
        fraction = large_fraction(sampler.variance)
        a, b, c = r * alpha_s / alpha_t, rest * alpha_s, nothing
        d = np.sqrt(rest) * sigma_t**fraction * sigma_s ** (1.0 - fraction)
    elif sampler.name == "ddim":
        # alpha_s x0 + sigma_s eps with eps = (z - alpha_t x0) / sigma_t.
        a = sigma_s / sigma_t
        b, c, d = alpha_s - a * alpha_t, nothing, nothing
    elif sampler.name == "dpmpp":
        a, (b, c), d = sigma_s / sigma_t, _dpmpp(alpha_s, logsnr / 2), nothing
    else:
        raise NotImplementedError(f"coefficients of the sampler {sampler.name!r}")
    if times[-1] == 0.0:
        a, c, d = (np.append(column[:-1], 0.0) for column in (a, c, d))
        b = np.append(b[:-1], 1.0)
    columns = (times[:-1], alpha_t, sigma_t, a, b, c, d)
    # Copied and not converted by the device, which compiles for every number of steps.
    return Steps(*(jax.device_put(column.astype(np.float32)) for column in columns))


def _dpmpp(
    alpha_s: Float64[np.ndarray, " steps"], lam: Float64[np.ndarray, " times"]
) -> tuple[Float64[np.ndarray, " steps"], Float64[np.ndarray, " steps"]]:
    """Computes the coefficients of the last two x0, for linear extrapolation in lambda."""
    h = np.diff(lam)
    total = -alpha_s * np.expm1(-h)
    # h / (2 h of the step before). The first step has none, nor one after a step in which a clipped
    # schedule stands still.
    extrapolation = np.zeros_like(h)
    np.divide(h[1:], 2 * h[:-1], out=extrapolation[1:], where=h[:-1] > 0)
    return total * (1 + extrapolation), -total * extrapolation


def start(noise: Float[Array, "B F M"]) -> Carry:
    """Returns the state before the first step.

    Args:
        noise: Gaussian noise of mean 0 and variance 1.
    """
    return Carry(noise, jnp.zeros_like(noise))


def run(
    denoise: Callable[[jax.Array, Any], jax.Array],
    carry: Carry,
    table: Steps,
    *,
    times: Any = None,
    noise: Callable[[jax.Array], jax.Array] | None = None,
    first: int | Int[Array, ""] = 0,
    count: int | Int[Array, ""] | None = None,
) -> Carry:
    """Takes `count` steps from `first` on; after all of them, `carry.z` is the sample.

    The steps can be split over several calls, which under `jit` share a compilation if `count` is
    an argument, or always the same.

    Args:
        denoise: maps z [B, F, M] and one entry of `times` to x0 [B, F, M].
        carry: result of `start` or of the call before.
        table: coefficients.
        times: second argument of `denoise` for every step, a tree of arrays with a leading axis
            [steps]; by default the table. Results that depend on time alone can be computed once.
        noise: returns unit noise like z for the index of a step; None for a sampler without noise.
        first: index of the first step.
        count: number of steps, by default that of the table; a GPU runs a loop of a known number
            of steps without the host.

    Returns:
        The state after these steps.
    """
    times = table if times is None else times

    def step(taken: jax.Array, carry: Carry) -> Carry:
        number = first + taken
        row, time = jax.tree.map(lambda column: column[number], (table, times))
        x0 = denoise(carry.z, time)
        z = row.z * carry.z + row.x0 * x0 + row.previous_x0 * carry.previous_x0
        if noise is not None:
            z = z + row.noise * noise(number)
        return Carry(z, x0)

    return jax.lax.fori_loop(0, len(table.time) if count is None else count, step, carry)
