import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.leaps import Leaps, choose
from spectrodiff.diffusion.sampler import Sampler
from spectrodiff.diffusion.schedule import CosineSchedule

COSINE = CosineSchedule()
# Signal and noise scale of the cosine schedule are cosine and sine of this angle.
LOW, HIGH = np.arctan(np.exp(-10.0)), np.arctan(np.exp(10.0))
MEAN, DEVIATION = 0.3, 0.25


def angle(time):
    return LOW + (HIGH - LOW) * np.asarray(time, np.float64)


def gaussian_x0(z, time):
    """E[x0 | z] for x0 ~ N(MEAN, DEVIATION^2)."""
    alpha, sigma = np.cos(angle(time)), np.sin(angle(time))
    return MEAN + alpha * DEVIATION**2 * (z - alpha * MEAN) / (alpha**2 * DEVIATION**2 + sigma**2)


def gaussian_flow(z, begin, end):
    """Probability flow of the same distribution: the standard score of z stays."""

    def moments(time):
        alpha, sigma = np.cos(angle(time)), np.sin(angle(time))
        return alpha * MEAN, np.sqrt(alpha**2 * DEVIATION**2 + sigma**2)

    (before, scale_before), (after, scale_after) = moments(begin), moments(end)
    return after + scale_after * (z - before) / scale_before


def denoise(z, step):
    gain = DEVIATION**2 * step.alpha / (DEVIATION**2 * step.alpha**2 + step.sigma**2)
    return MEAN + gain * (z - step.alpha * MEAN)


def leap_from(leaps, number, z):
    leap = choose(leaps.table(COSINE), jnp.array([number]))
    return leap, leap.follow_teacher(denoise, jnp.asarray(z, jnp.float32))


Z = np.linspace(-2.0, 2.0, 9)[None, :, None]


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_two_steps_of_ddim_in_one(number):
    """Written out: z_s = cos(b) x0 + sin(b) eps, with eps = (z_t - cos(a) x0) / sin(a)."""
    begin, end = 1 - number / 4, 1 - (number + 1) / 4
    z = Z
    for t, s in itertools.pairwise((begin, (begin + end) / 2, end)):
        x0 = gaussian_x0(z, t)
        eps = (z - np.cos(angle(t)) * x0) / np.sin(angle(t))
        z = np.cos(angle(s)) * x0 + np.sin(angle(s)) * eps if s > 0 else x0
    leap, arrival = leap_from(Leaps(Sampler("ddim", 4), "ddim", 2, 2), number, Z)
    np.testing.assert_allclose(arrival, z, atol=2e-6)
    target = np.asarray(leap.target(jnp.asarray(Z), arrival))
    # The student's own step with this x0 has to arrive at the same place.
    eps = (Z - np.cos(angle(begin)) * target) / np.sin(angle(begin))
    there = np.cos(angle(end)) * target + np.sin(angle(end)) * eps if end > 0 else target
    np.testing.assert_allclose(there, z, atol=2e-6)
    assert np.abs(target - gaussian_x0(Z, begin)).max() > 0.01  # one plain step leads elsewhere


@pytest.mark.parametrize(("solver", "order"), [("ddim", 1), ("dpmpp", 2)])
def test_more_substeps_approach_the_flow(solver, order):
    wanted = gaussian_flow(Z, 0.75, 0.5)
    coarse, fine = (
        np.abs(leap_from(Leaps(Sampler("ddim", 4), solver, n, n), 1, Z)[1] - wanted).max()
        for n in (2, 4)
    )
    # Halving the substeps halves the error of the first order, and quarters that of the second.
    assert 2**order * 0.8 < coarse / fine < 2**order * 1.6
    assert fine < 0.02


def test_student_on_the_flow_is_told_to_stay_there():
    """A student that takes the rest of a leap exactly is a fixed point of consistency training."""
    leaps = Leaps(Sampler("ddim", 2), "ddim", 64, 1)
    table = leaps.table(COSINE)
    number = 64 + 16  # in the second step, from t = 0.5 to 0, at a quarter of it
    begin, arrival_time = 0.5 - 0.5 * 16 / 64, 0.5 - 0.5 * 17 / 64
    leap, arrival = leap_from(leaps, number, Z)
    np.testing.assert_allclose(leap.whole.time.item(), begin, rtol=1e-6)
    np.testing.assert_allclose(arrival, gaussian_flow(Z, begin, arrival_time), atol=2e-4)
    # In the last step, x0 is the end of the flow.
    end = leap.finish(jnp.asarray(gaussian_flow(arrival, arrival_time, 0.0)), arrival)
    np.testing.assert_allclose(
        leap.target(jnp.asarray(Z), end), gaussian_flow(Z, begin, 0.0), atol=1e-3
    )
    assert len(table.whole.time) == 128


def test_nothing_is_left_of_a_leap_that_the_teacher_takes():
    leap, arrival = leap_from(Leaps(Sampler("ddim", 2), "ddim", 4, 2), 1, Z)
    np.testing.assert_array_equal(leap.finish(jnp.full_like(arrival, 9.0), arrival), arrival)


def test_leaps_begin_at_multiples_of_the_taught_substeps():
    table = Leaps(Sampler("ddim", 2), "dpmpp", 4, 2).table(COSINE)
    np.testing.assert_allclose(table.whole.time, [1.0, 0.75, 0.5, 0.25], rtol=1e-6)
    np.testing.assert_allclose(
        table.teacher.time, [[1.0, 0.875], [0.75, 0.625], [0.5, 0.375], [0.25, 0.125]], rtol=1e-6
    )
    np.testing.assert_allclose(table.rest.time[jnp.array([0, 2])], [0.75, 0.25], rtol=1e-6)


def test_leaps_of_a_batch_are_chosen_one_by_one():
    leaps = Leaps(Sampler("ddim", 3), "dpmpp", 2, 2)
    leap = choose(leaps.table(COSINE), jnp.array([2, 0]))
    z = np.concatenate([Z, Z + 0.1]).astype(np.float32)
    together = leap.follow_teacher(denoise, jnp.asarray(z))
    for row, number in enumerate((2, 0)):
        alone = leap_from(leaps, number, z[row : row + 1])[1]
        np.testing.assert_allclose(together[row : row + 1], alone, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "subject"),
    [
        ((Sampler("dpmpp", 4), "ddim", 2, 2), "Sampling.sampler"),
        ((Sampler("ddim", 4), "ddpm", 2, 2), "solver"),
        ((Sampler("ddim", 4), "ddim", 0, 1), "substeps"),
        ((Sampler("ddim", 4), "ddim", 4, 3), "taught"),
    ],
)
def test_impossible_leaps_are_refused(arguments, subject):
    with pytest.raises(ConfigError) as raised:
        Leaps(*arguments)
    assert raised.value.subject.endswith(subject)


def test_leaps_follow_the_students_own_times():
    times = (1.0, 0.6)
    table = Leaps(Sampler("ddim", 2, times=times), "ddim", 2, 2).table(COSINE)
    np.testing.assert_allclose(table.whole.time, times, rtol=1e-6)
    np.testing.assert_allclose(jax.device_get(table.teacher.time), [[1.0, 0.8], [0.6, 0.3]])
