"""Noise schedules: how much signal is left at time t.

Time t runs from 0 (clean) to 1 (noise). A noisy example is z_t = alpha x0 + sigma eps with
alpha^2 + sigma^2 = 1, and logsnr = log(alpha^2 / sigma^2). Functions take NumPy or JAX arrays and
answer in kind, so that sampling tables are made in float64 and training runs on the device.
"""

import dataclasses
import functools
import math
from typing import Any, Literal, Protocol

import jax.numpy as jnp
import numpy as np

from spectrodiff.core.errors import ConfigError

ScheduleName = Literal["cosine", "linear"]


class Schedule(Protocol):
    """A map from time to log signal-to-noise ratio, decreasing in t."""

    def logsnr(self, time: Any) -> Any:
        """Log signal-to-noise ratio at times in [0, 1], any shape."""
        ...


@dataclasses.dataclass(frozen=True)
class CosineSchedule:
    """logsnr(t) = -2 ln tan(a t + b), running from `logsnr_max` down to `logsnr_min`.

    Without the two limits this is alpha = cos(pi t / 2) (Nichol & Dhariwal 2021, in the log-SNR
    form of Kingma et al. 2021).
    """

    logsnr_min: float = -20.0
    logsnr_max: float = 20.0

    def logsnr(self, time: Any) -> Any:
        """Log signal-to-noise ratio at times in [0, 1]."""
        b = math.atan(math.exp(-self.logsnr_max / 2))
        a = math.atan(math.exp(-self.logsnr_min / 2)) - b
        xp = time.__array_namespace__()
        return -2.0 * xp.log(xp.tan(a * time + b))


@dataclasses.dataclass(frozen=True)
class LinearSchedule:
    """The schedule of DDPM (Ho et al. 2020): variances beta growing linearly over discrete steps.

    The first of the `steps` levels sits at t = 0 and the last at t = 1; in between, logsnr is
    interpolated linearly.
    """

    beta_min: float = 1e-4
    beta_max: float = 0.02
    steps: int = 1000

    def logsnr(self, time: Any) -> Any:
        """Log signal-to-noise ratio at times in [0, 1]."""
        levels = _linear_levels(self)
        xp = np if isinstance(time, np.ndarray) else jnp
        return xp.interp(time, xp.linspace(0.0, 1.0, self.steps), xp.asarray(levels))


@functools.cache
def _linear_levels(schedule: LinearSchedule) -> np.ndarray:
    betas = np.linspace(schedule.beta_min, schedule.beta_max, schedule.steps)
    log_alpha_squared = np.cumsum(np.log1p(-betas))
    return log_alpha_squared - np.log(-np.expm1(log_alpha_squared))


def alpha_sigma(logsnr: Any) -> tuple[Any, Any]:
    """Signal and noise scale at a log signal-to-noise ratio: alpha^2 = sigmoid(logsnr)."""
    xp = logsnr.__array_namespace__()
    # logaddexp keeps full precision where either scale vanishes.
    zero = xp.zeros_like(logsnr)
    return (
        xp.exp(-0.5 * xp.logaddexp(zero, -logsnr)),
        xp.exp(-0.5 * xp.logaddexp(zero, logsnr)),
    )


def make_schedule(name: str) -> Schedule:
    """The schedule of that name, with its published constants.

    Raises:
        ConfigError: for another name than "cosine" or "linear".
    """
    if name == "cosine":
        return CosineSchedule()
    if name == "linear":
        return LinearSchedule()
    raise ConfigError("schedule", "'cosine' or 'linear'", repr(name))
