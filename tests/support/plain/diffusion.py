"""Schedules, conversions, losses and samplers in closed form."""

from collections.abc import Callable, Sequence

import numpy as np

Array = np.ndarray
LIMIT = 20.0  # of the log signal-to-noise ratio, either way


def cosine_logsnr(time: Array) -> Array:
    end = np.arctan(np.exp(-LIMIT / 2))
    begin = np.arctan(np.exp(LIMIT / 2))
    return -2 * np.log(np.tan(end + (begin - end) * np.asarray(time, np.float64)))


def linear_logsnr(time: Array) -> Array:
    """DDPM's thousand levels, betas from 0.0001 to 0.02, with straight lines between them."""
    power = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    return np.interp(time, np.linspace(0, 1, 1000), np.log(power / (1 - power)))


def alpha_sigma(time: Array) -> tuple[Array, Array]:
    """Factors of signal and noise, [B, 1, 1], in the cosine schedule."""
    logsnr = cosine_logsnr(time)[:, None, None]
    return np.sqrt(1 / (1 + np.exp(-logsnr))), np.sqrt(1 / (1 + np.exp(logsnr)))


def x0_of(prediction: str, output: Array, z: Array, alpha: Array, sigma: Array) -> Array:
    """Clean features that an output of the network stands for."""
    if prediction == "x0":
        return output
    return (z - sigma * output) / alpha if prediction == "eps" else alpha * z - sigma * output


def eps_of(x0: Array, z: Array, alpha: Array, sigma: Array) -> Array:
    """Noise in z if the clean features are x0."""
    return (z - alpha * x0) / sigma


def loss(target: str, norm: str, x0_error: Array, eps_error: Array) -> Array:
    """Loss of each example from the errors [B, F, M] of features and noise."""
    size = np.abs if norm == "l1" else np.square
    on_x0, on_eps = (size(error).mean(axis=(1, 2)) for error in (x0_error, eps_error))
    return {
        "x0": on_x0,
        "eps": on_eps,
        "x0_and_eps": on_x0 + on_eps,
        "max_x0_eps": np.maximum(on_x0, on_eps),
    }[target]


def ancestral_step(z: Array, x0: Array, t: Array, s: Array, variance: str) -> tuple[Array, Array]:
    """Mean [B, F, M] and standard deviation [B] of z at time s < t."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = alpha_sigma(t), alpha_sigma(s)
    snr_ratio = (alpha_t / sigma_t) ** 2 / (alpha_s / sigma_s) ** 2
    mean = snr_ratio * alpha_s / alpha_t * z + (1 - snr_ratio) * alpha_s * x0
    small, large = ((1 - snr_ratio) * sigma**2 for sigma in (sigma_s, sigma_t))
    share = {"small": 0.0, "large": 1.0}.get(variance)
    if share is None:
        share = float(variance.removeprefix("medium:"))
    return mean, np.sqrt(small ** (1 - share) * large**share)[:, 0, 0]


def ddim_step(z: Array, x0: Array, t: Array, s: Array) -> Array:
    """Deterministic step from time t to s."""
    alpha_s, sigma_s = alpha_sigma(s)
    return alpha_s * x0 + sigma_s * eps_of(x0, z, *alpha_sigma(t))


def sample(
    predict: Callable[[Array, Array], Array],
    sampler: str,
    steps: int,
    z: Array,
    noises: Array,
    times: Sequence[float] | None = None,
) -> Array:
    """A whole run from z at time 1 with the noise `noises[i]` in step i, counted down to 0.

    Args:
        predict: (z, times [B]) -> noise in z, guidance included.
        times: what the steps start from, the first one first; None for equal steps from time 1.
    """
    z = z.astype(np.float64)
    ends = np.array([*times, 0.0]) if times else np.arange(steps, -1, -1) / steps
    for step in range(steps - 1, -1, -1):
        t, s = (np.full(len(z), ends[steps - number]) for number in (step + 1, step))
        x0 = np.clip(x0_of("eps", predict(z, t), z, *alpha_sigma(t)), -1, 1)
        if step == 0:
            return x0
        if sampler == "ddim":
            z = ddim_step(z, x0, t, s)
        else:
            mean, deviation = ancestral_step(z, x0, t, s, "large")
            z = mean + deviation[:, None, None] * noises[step]
    raise AssertionError("a run has at least one step")
