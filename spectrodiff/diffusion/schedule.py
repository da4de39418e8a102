"""Noise schedules: log signal-to-noise ratio as a function of time.

Time t runs from 0 (clean) to 1 (noise). A noisy example is z_t = alpha x0 + sigma eps with
alpha^2 + sigma^2 = 1, and logsnr = log(alpha^2 / sigma^2). Functions return arrays of the kind they
are given, NumPy or JAX: sampling tables are computed in float64, training runs on the device.
"""

import dataclasses
import functools
import math
from typing import Literal, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float64

from spectrodiff.core.errors import ConfigError

AnyArray = TypeVar("AnyArray", np.ndarray, jax.Array)

ScheduleName = Literal["cosine", "linear"]


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
    """

    logsnr_min: float = -20.0
    logsnr_max: float = 20.0

    def logsnr(self, time: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
        """Log signal-to-noise ratio at times in [0, 1]."""
        b = math.atan(math.exp(-self.logsnr_max / 2))
        a = math.atan(math.exp(-self.logsnr_min / 2)) - b
        xp = time.__array_namespace__()
        return -2.0 * xp.log(xp.tan(a * time + b))


@dataclasses.dataclass(frozen=True)
class LinearSchedule:
    """Schedule of DDPM (Ho et al. 2020): variances beta grow linearly over discrete steps.

    The first of the `steps` levels is at t = 0, the last at t = 1; logsnr is interpolated linearly
    between them.
    """

    beta_min: float = 1e-4
    beta_max: float = 0.02
    steps: int = 1000

    def logsnr(self, time: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
        """Log signal-to-noise ratio at times in [0, 1]."""
        levels = _linear_levels(self)
        xp = np if isinstance(time, np.ndarray) else jnp
        return xp.interp(time, xp.linspace(0.0, 1.0, self.steps), xp.asarray(levels))


@functools.cache
def _linear_levels(schedule: LinearSchedule) -> Float64[np.ndarray, " steps"]:
    betas = np.linspace(schedule.beta_min, schedule.beta_max, schedule.steps)
    log_alpha_squared = np.cumsum(np.log1p(-betas))
    return log_alpha_squared - np.log(-np.expm1(log_alpha_squared))


def alpha_sigma(
    logsnr: Float[AnyArray, "*shape"],
) -> tuple[Float[AnyArray, "*shape"], Float[AnyArray, "*shape"]]:
    """Computes signal and noise scale from log signal-to-noise: alpha^2 = sigmoid(logsnr)."""
    xp = logsnr.__array_namespace__()
    # logaddexp keeps full precision if either scale vanishes.
    zero = xp.zeros_like(logsnr)
    return (
        xp.exp(-0.5 * xp.logaddexp(zero, -logsnr)),
        xp.exp(-0.5 * xp.logaddexp(zero, logsnr)),
    )


def make_schedule(name: str) -> Schedule:
    """Returns the schedule "cosine" or "linear" with its published constants.

    Raises:
        ConfigError: for other names.
    """
    if name == "cosine":
        return CosineSchedule()
    if name == "linear":
        return LinearSchedule()
    raise ConfigError("schedule", "'cosine' or 'linear'", repr(name))
