from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.guidance import Weights, guide, guide_apart
from spectrodiff.diffusion.sampler import (
    Carry,
    Sampler,
    SamplerName,
    grid,
    run,
    start,
    step_table,
)
from spectrodiff.diffusion.schedule import CosineSchedule, LinearSchedule, alpha_sigma

COSINE = CosineSchedule()


def one_step(sampler, t, s, z, x0):
    """Mean and standard deviation of a single step from t to s that is not a last step."""
    table = step_table(sampler, COSINE, np.array([t, s, 0.0]))
    return table.z[0] * z + table.x0[0] * x0, table.noise[0]


@pytest.mark.parametrize("variance", ["small", "large", "medium:0.3"])
def test_ancestral_steps_meet_reference(golden, variance):
    arrays = np.load(golden / "diffusion.npz")
    for row, (t, s) in enumerate(zip(arrays["t"], arrays["s"], strict=True)):
        mean, std = one_step(
            Sampler("ddpm", variance=variance),
            float(t),
            float(s),
            arrays["z"][row],
            arrays["x0"][row],
        )
        np.testing.assert_allclose(mean, arrays[f"reverse_{variance}_mean"][row], atol=2e-6)
        np.testing.assert_allclose(std, arrays[f"reverse_{variance}_std"][row], rtol=2e-6)


def test_ddim_step_meets_reference(golden):
    arrays = np.load(golden / "diffusion.npz")
    for row, (t, s) in enumerate(zip(arrays["t"], arrays["s"], strict=True)):
        z, x0 = arrays["z"][row], arrays["x0"][row]
        answer, std = one_step(Sampler("ddim"), float(t), float(s), z, x0)
        np.testing.assert_allclose(answer, arrays["ddim_step"][row], atol=2e-6)
        assert std == 0


def gaussian_denoiser(mean, deviation):
    """E[x0 | z] for x0 ~ N(mean, deviation^2), in closed form."""

    def denoise(z, row):
        gain = deviation**2 * row.alpha / (deviation**2 * row.alpha**2 + row.sigma**2)
        return mean + gain * (z - row.alpha * mean)

    return denoise


def gaussian_flow_end(mean, deviation, z):
    """Probability flow of z from t = 1 to t = 0, which keeps the standard score."""
    alpha, sigma = alpha_sigma(COSINE.logsnr(np.array([1.0, 0.0])))
    scale = np.sqrt(deviation**2 * alpha**2 + sigma**2)
    return mean * alpha[1] + scale[1] * (z - alpha[0] * mean) / scale[0]


def flow_error(name, steps, spacing="time"):
    mean, deviation = 0.3, 0.25
    z = np.linspace(-2.0, 2.0, 9)[None, :, None]
    with jax.enable_x64(True):
        rows = Sampler(name, steps, spacing=spacing).table(COSINE)
        rows = jax.tree.map(lambda column: jnp.asarray(column, jnp.float64), rows)
        answer = np.asarray(run(gaussian_denoiser(mean, deviation), start(jnp.asarray(z)), rows).z)
    return np.abs(answer - gaussian_flow_end(mean, deviation, z)).max()


def test_dpm_solver_error_falls_with_the_square_of_the_steps():
    # Steps equal in logsnr shrink everywhere as their number grows, which the order of a method
    # presumes; steps equal in time start with a leap whose size hardly depends on their number.
    errors = [flow_error("dpmpp", steps, "logsnr") for steps in (40, 80, 160, 320)]
    ratios = np.divide(errors[:-1], errors[1:])
    assert np.all(ratios > 3.5), (errors, ratios)
    assert np.all(ratios < 4.5), (errors, ratios)


def test_ddim_error_falls_with_the_steps_only_linearly():
    errors = [flow_error("ddim", steps) for steps in (40, 80, 160)]
    ratios = np.divide(errors[:-1], errors[1:])
    assert np.all(ratios > 1.7), (errors, ratios)
    assert np.all(ratios < 2.5), (errors, ratios)


def test_dpm_solver_needs_few_steps():
    assert flow_error("dpmpp", 40) < flow_error("ddim", 40) / 10


def test_ancestral_sampling_keeps_the_distribution_of_gaussian_data():
    mean, deviation = 0.3, 0.25
    shape = (20_000, 1, 1)
    keys = jax.random.split(jax.random.key(3), 1001)
    rows = Sampler("ddpm", 1000, variance="small").table(COSINE)
    carry = start(jax.random.normal(keys[-1], shape))
    draw = lambda number: jax.random.normal(keys[number], shape)  # noqa: E731
    samples = run(gaussian_denoiser(mean, deviation), carry, rows, noise=draw).z
    # Standard error of the mean is 0.0018, of the deviation 0.0013; the steps cost another 0.002.
    assert float(samples.mean()) == pytest.approx(mean, abs=0.007)
    assert float(samples.std()) == pytest.approx(deviation, abs=0.007)


def test_steps_over_several_calls_are_the_same_run():
    rows = Sampler("ddpm", 12).table(COSINE)
    key = jax.random.key(0)
    denoise = gaussian_denoiser(0.1, 0.5)
    draw = lambda number: jax.random.normal(jax.random.fold_in(key, number), (2, 3, 1))  # noqa: E731
    whole = run(denoise, start(jnp.ones((2, 3, 1))), rows, noise=draw).z
    carry = start(jnp.ones((2, 3, 1)))
    for first, count in ((0, 5), (5, 1), (6, 6)):
        carry = run(denoise, carry, rows, noise=draw, first=first, count=count)
    np.testing.assert_allclose(carry.z, whole, atol=1e-6)


def test_the_last_step_answers_the_denoised_features_themselves():
    for name in ("ddpm", "ddim", "dpmpp"):
        rows = Sampler(name, 3).table(COSINE)
        carry = run(lambda z, _: jnp.full_like(z, 0.7), Carry(*jnp.ones((2, 1, 1, 1))), rows)
        np.testing.assert_array_equal(carry.z, np.float32(0.7))


def test_a_schedule_that_stands_still():
    """Steps in which the clipped level of noise stays the same change nothing, and none divides."""
    schedule = LinearSchedule(1e-12, 0.999, 60)
    times = np.array([1.0, 0.95, 0.5, 0.2, 1e-9, 0.0])
    logsnr = schedule.logsnr(times)
    assert logsnr[0] == logsnr[1] == -20
    for name in get_args(SamplerName):
        rows = step_table(Sampler(name, 5), schedule, times)
        assert (rows.z[0], rows.x0[0], rows.previous_x0[0], rows.noise[0]) == (1, 0, 0, 0)
        assert all(np.isfinite(column).all() for column in rows)
        assert rows.previous_x0[1] == 0


def test_every_name_has_coefficients_of_its_own():
    tables = [Sampler(name, steps=4).table(COSINE) for name in get_args(SamplerName)]
    columns = {tuple(np.concatenate(table[3:]).tolist()) for table in tables}
    assert len(columns) == len(tables) == 3


def test_steps_equal_in_logsnr():
    for schedule in (COSINE, LinearSchedule()):
        times = grid(schedule, 10, "logsnr")
        assert times[0] == 1.0
        assert times[-1] == 0.0
        differences = np.diff(schedule.logsnr(times))
        np.testing.assert_allclose(differences, differences.mean(), rtol=1e-6)


def test_the_first_time():
    np.testing.assert_allclose(grid(COSINE, 4, start=0.8), [0.8, 0.6, 0.4, 0.2, 0.0], atol=1e-15)
    times = grid(COSINE, 5, "logsnr", 0.96)
    assert (times[0], times[-1]) == (0.96, 0.0)
    # logsnr(t) = -2 ln tan(a t + b) reaches 20 at t = 0 and -20 at t = 1. The first of five equal
    # steps ends at logsnr(0.96) + (20 - logsnr(0.96)) / 5.
    b = np.arctan(np.exp(-10))
    a = np.pi / 2 - 2 * b
    first = -2 * np.log(np.tan(a * 0.96 + b))
    wanted = (np.arctan(np.exp(-(first + (20 - first) / 5) / 2)) - b) / a
    assert times[1] == pytest.approx(wanted, abs=1e-9)
    np.testing.assert_array_equal(grid(COSINE, 7, start=1.0), np.arange(7, -1, -1) / 7)


def test_times_are_those_of_the_steps():
    sampler = Sampler("ddim", 3, spacing="logsnr", start=0.5, times=(0.9, 0.75, 0.2))
    np.testing.assert_array_equal(sampler.grid(COSINE), [0.9, 0.75, 0.2, 0.0])
    np.testing.assert_allclose(sampler.table(COSINE).time, [0.9, 0.75, 0.2], rtol=1e-7)


def exact_gaussian_step(z, t, s):
    """DDIM step for x0 ~ N(0.3, 0.25^2): alpha_s x0 + sigma_s eps, x0 and eps expected from z."""
    (alpha, alpha_s), (sigma, sigma_s) = (f(np.pi / 2 * np.array([t, s])) for f in (np.cos, np.sin))
    x0 = (alpha * 0.25**2 * z + sigma**2 * 0.3) / (alpha**2 * 0.25**2 + sigma**2)
    return x0 if s == 0 else alpha_s * x0 + sigma_s * (z - alpha * x0) / sigma


def sample_gaussian(sampler, z):
    with jax.enable_x64(True):
        rows = jax.tree.map(lambda column: column.astype(jnp.float64), sampler.table(COSINE))
        return np.asarray(run(gaussian_denoiser(0.3, 0.25), start(jnp.asarray(z)), rows).z)


@pytest.mark.parametrize(
    ("settings", "times"),
    [
        ({"times": (0.9, 0.75, 0.2)}, (0.9, 0.75, 0.2)),
        ({"start": 0.96}, (0.96, 0.64, 0.32)),
        ({}, (1.0, 2 / 3, 1 / 3)),
    ],
)
def test_few_steps_of_gaussian_data_by_hand(settings, times):
    z = np.linspace(-2.0, 2.0, 9)[None, :, None]
    wanted = z
    for t, s in zip(times, (*times[1:], 0), strict=True):
        wanted = exact_gaussian_step(wanted, t, s)
    # Limits of the schedule change signal and noise by 5e-5.
    np.testing.assert_allclose(
        sample_gaussian(Sampler("ddim", 3, **settings), z), wanted, atol=2e-4
    )


@pytest.mark.parametrize("spacing", ["time", "logsnr"])
def test_sampling_from_a_later_time_follows_the_flow_from_there(spacing):
    z = np.linspace(-2.0, 2.0, 9)[None, :, None]
    # The flow keeps the standard score; at t = 0.7 z has deviation sqrt(alpha^2 0.25^2 + sigma^2).
    alpha, sigma = np.cos(0.35 * np.pi), np.sin(0.35 * np.pi)
    wanted = 0.3 + 0.25 * (z - alpha * 0.3) / np.sqrt(alpha**2 * 0.25**2 + sigma**2)
    found = sample_gaussian(Sampler("dpmpp", 300, spacing=spacing, start=0.7), z)
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_weights_of_two_conditions():
    both, notes, neither = (jnp.array([value]) for value in (5.0, 3.0, 1.0))
    # 1 + 2 (3 - 1) + 4 (5 - 3)
    assert guide_apart(both, notes, neither, Weights(2.0, 4.0)) == 13.0
    # 3 + 4 (5 - 3)
    assert guide_apart(both, notes, None, Weights(1.0, 4.0)) == 11.0
    assert guide_apart(both, notes, neither, Weights(2.0, 2.0)) == guide(both, neither, 2.0) == 9.0


def test_guidance_extrapolates():
    np.testing.assert_array_equal(guide(jnp.array([3.0]), jnp.array([1.0]), 2.0), [5.0])
    np.testing.assert_array_equal(guide(jnp.array([3.0]), jnp.array([1.0]), 1.0), [3.0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "euler"}, "sampler: expected one of ddpm, ddim, dpmpp, got euler"),
        ({"steps": 0}, "steps: expected a whole number >= 1, got 0"),
        ({"steps": 2.5}, "steps: expected a whole number >= 1, got 2.5"),
        ({"variance": "huge"}, "variance: expected 'small', 'large' or 'medium:f'"),
        ({"variance": "medium:2"}, "got medium:2"),
        ({"variance": "large:0.5"}, "got large:0.5"),
        ({"start": 0.0}, r"start: expected a time in \(0, 1\], got 0.0"),
        ({"start": 1.1}, "start: expected a time"),
        ({"start": float("nan")}, "start: expected a time"),
        ({"steps": 2, "times": (0.5, 0.7)}, r"times: expected decreasing times in \(0, 1\]"),
        ({"steps": 2, "times": (0.5, 0.5)}, "times: expected decreasing times"),
        ({"steps": 2, "times": (0.5, 0.0)}, "times: expected decreasing times"),
        ({"steps": 1, "times": (1.5,)}, "times: expected decreasing times"),
        ({"steps": 1, "times": (float("nan"),)}, "times: expected decreasing times"),
        ({"steps": 3, "times": (0.5, 0.2)}, "times: expected 3 times, one per step"),
        ({"spacing": "sigma"}, "spacing: expected one of time, logsnr, got sigma"),
    ],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        Sampler(**settings)
