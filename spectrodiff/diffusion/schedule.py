"""Noise schedules: log signal-to-noise ratio as a function of time.

Time t runs from 0 (clean) to 1 (noise). A noisy example is z_t = alpha x0 + sigma eps with
alpha^2 + sigma^2 = 1, and logsnr = log(alpha^2 / sigma^2). Functions return arrays of the kind they
are given, NumPy or JAX: sampling tables are computed in float64, training runs on the device.
"""

import dataclasses
import functools
import math
from typing import Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float64

from spectrodiff.core.config import require
from spectrodiff.core.errors import ConfigError

AnyArray = TypeVar("AnyArray", np.ndarray, jax.Array)

LOGSNR_MIN, LOGSNR_MAX = -20.0, 20.0
MAX_LEVELS = 1_000_000  # of a linear schedule; the published one has 1000


@runtime_checkable
class Schedule(Protocol):
    """Map from time to log signal-to-noise ratio, decreasing in t."""

    def logsnr(self, time: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
        """Log signal-to-noise ratio at times in [0, 1]."""
        ...


@dataclasses.dataclass(frozen=True)
class CosineSchedule:
    """Cosine schedule: logsnr(t) = -2 ln tan(a t + b), from `logsnr_max` down to `logsnr_min`.

    Without the two limits, alpha = cos(pi t / 2) (Nichol & Dhariwal 2021, in the log-SNR form of
    Kingma et al. 2021).

    Attributes:
        logsnr_min: value at t = 1.
        logsnr_max: value at t = 0.
    """

    logsnr_min: float = LOGSNR_MIN
    logsnr_max: float = LOGSNR_MAX

    def logsnr(self, time: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
        """Returns the log signal-to-noise ratio at some times.

        Args:
            time: t in [0, 1], of any shape.
        """
        b = math.atan(math.exp(-self.logsnr_max / 2))
        a = math.atan(math.exp(-self.logsnr_min / 2)) - b
        xp = time.__array_namespace__()
        return -2.0 * xp.log(xp.tan(a * time + b))


@dataclasses.dataclass(frozen=True)
class LinearSchedule:
    """Schedule of DDPM (Ho et al. 2020): variances beta grow linearly over discrete steps.

    The first of the `steps` levels is at t = 0, the last at t = 1; logsnr is clipped to [-20, 20]
    and interpolated linearly between them.

    Args:
        beta_min: variance of the noise added in the first step, in (0, 1).
        beta_max: variance of the noise added in the last step, in (0, 1).
        steps: number of levels, from 2 to a million.

    Raises:
        ConfigError: if a value is out of its range.
    """

    beta_min: float = 1e-4
    beta_max: float = 0.02
    steps: int = 1000

    def __post_init__(self) -> None:
        betas = (self.beta_min, self.beta_max)
        expected = "two variances in (0, 1)"
        require(all(0 < beta < 1 for beta in betas), "schedule", expected, betas)
        require(self.steps >= 2, "schedule", "at least 2 steps", self.steps)
        require(self.steps <= MAX_LEVELS, "schedule", f"at most {MAX_LEVELS} steps", self.steps)

    def logsnr(self, time: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
        """Log signal-to-noise ratio at times in [0, 1]."""
        levels = _linear_levels(self)
        xp = np if isinstance(time, np.ndarray) else jnp
        return xp.interp(time, xp.linspace(0.0, 1.0, self.steps), xp.asarray(levels))


@functools.cache
def _linear_levels(schedule: LinearSchedule) -> Float64[np.ndarray, " steps"]:
    betas = np.linspace(schedule.beta_min, schedule.beta_max, schedule.steps)
    log_alpha_squared = np.cumsum(np.log1p(-betas))
    logsnr = log_alpha_squared - np.log(-np.expm1(log_alpha_squared))
    return np.clip(logsnr, LOGSNR_MIN, LOGSNR_MAX)


def alpha_sigma(
    logsnr: Float[AnyArray, "*shape"],
) -> tuple[Float[AnyArray, "*shape"], Float[AnyArray, "*shape"]]:
    """Returns the scales of signal and noise: alpha^2 = sigmoid(logsnr), sigma^2 = 1 - alpha^2.

    Args:
        logsnr: log signal-to-noise ratio, of any shape.
    """
    xp = logsnr.__array_namespace__()
    # logaddexp keeps full precision if either scale vanishes.
    zero = xp.zeros_like(logsnr)
    return (
        xp.exp(-0.5 * xp.logaddexp(zero, -logsnr)),
        xp.exp(-0.5 * xp.logaddexp(zero, logsnr)),
    )


def make_schedule(name: str) -> Schedule:
    """Returns the schedule of a name.

    Args:
        name: "cosine"; "linear" with the published constants; or "linear:FIRST:LAST:STEPS" with
            other first and last betas and another number of steps, such as "linear:1e-4:0.02:1000".

    Raises:
        ConfigError: for other names, and constants out of their range.
    """
    if name == "cosine":
        return CosineSchedule()
    kind, *constants = name.split(":")
    try:
        if kind == "linear" and not constants:
            return LinearSchedule()
        if kind == "linear":
            first, last, steps = constants
            return LinearSchedule(float(first), float(last), int(steps))
    except ValueError:  # not three constants, or not numbers
        pass
    raise ConfigError("schedule", "'cosine', 'linear' or 'linear:FIRST:LAST:STEPS'", repr(name))
