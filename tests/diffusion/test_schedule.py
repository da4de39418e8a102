import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.schedule import (
    CosineSchedule,
    LinearSchedule,
    alpha_sigma,
    make_schedule,
)


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_logsnr_meets_reference_in_numpy_and_jax(golden, name):
    arrays = np.load(golden / "diffusion.npz")
    schedule = make_schedule(name)
    # The reference itself is float32; near t = 1 tan() amplifies its rounding to 1e-3.
    expected = arrays[f"{name}_logsnr"]
    np.testing.assert_allclose(schedule.logsnr(arrays["time"].astype(float)), expected, atol=2e-3)
    np.testing.assert_allclose(schedule.logsnr(jnp.asarray(arrays["time"])), expected, atol=2e-3)


def test_cosine_schedule_is_a_quarter_turn_without_its_limits():
    # With logsnr limits far away, alpha = cos(pi t / 2) and sigma = sin(pi t / 2).
    times = np.linspace(0.01, 0.99, 7)
    alpha, sigma = alpha_sigma(CosineSchedule(-200.0, 200.0).logsnr(times))
    np.testing.assert_allclose(alpha, np.cos(np.pi * times / 2), atol=1e-12)
    np.testing.assert_allclose(sigma, np.sin(np.pi * times / 2), atol=1e-12)


def test_cosine_schedule_runs_between_its_limits():
    ends = CosineSchedule().logsnr(np.array([0.0, 1.0]))
    np.testing.assert_allclose(ends, [20.0, -20.0], atol=1e-6)


def test_linear_schedule_is_the_product_of_its_betas():
    # Two levels by hand: alpha^2 = 0.9 and 0.9 * 0.8 = 0.72, half-way in between in logsnr.
    schedule = LinearSchedule(beta_min=0.1, beta_max=0.2, steps=2)
    first, last = np.log(0.9 / 0.1), np.log(0.72 / 0.28)
    logsnr = schedule.logsnr(np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(logsnr, [first, (first + last) / 2, last], rtol=1e-12)


def test_linear_schedule_of_other_betas():
    schedule = make_schedule("linear:0.1:0.2:2")
    assert schedule == LinearSchedule(beta_min=0.1, beta_max=0.2, steps=2)
    assert make_schedule("linear:1e-4:0.02:1000") == make_schedule("linear") == LinearSchedule()


def test_linear_schedule_is_clipped():
    # alpha^2 is 1 - 1e-12 at first. In the end it is a product of thirty numbers with the mean 0.5,
    # below 0.5 ** 30 = e^-20.8.
    logsnr = LinearSchedule(1e-12, 0.999, 30).logsnr(np.array([0.0, 1.0]))
    np.testing.assert_array_equal(logsnr, [20.0, -20.0])


@pytest.mark.parametrize(
    "name", ["linear:", "linear:1e-4", "linear:a:0.02:9", "linear:0.1:0.2:1.5", "cosine:1"]
)
def test_names_without_a_schedule(name):
    with pytest.raises(ConfigError, match="'linear:FIRST:LAST:STEPS', got"):
        make_schedule(name)


@pytest.mark.parametrize("betas", [(0.0, 0.1), (0.1, 1.0), (float("nan"), 0.1)])
def test_betas_out_of_range(betas):
    with pytest.raises(ConfigError, match=r"two variances in \(0, 1\)"):
        LinearSchedule(*betas)
    with pytest.raises(ConfigError, match="at least 2 steps, got 1"):
        LinearSchedule(steps=1)


def test_variances_add_up_to_one_even_at_the_ends():
    alpha, sigma = alpha_sigma(np.linspace(-60.0, 60.0, 13))
    np.testing.assert_allclose(alpha**2 + sigma**2, 1.0, rtol=1e-14)
    np.testing.assert_allclose(alpha[0], np.exp(-30.0), rtol=1e-12)


def test_unknown_schedule_is_named():
    with pytest.raises(ConfigError, match=r"'cosine', 'linear' or .*, got 'quadratic'"):
        make_schedule("quadratic")
