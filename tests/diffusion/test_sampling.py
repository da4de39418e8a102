"""Settings of sampling: changes that keep or drop times, and the cost of a segment."""

import pytest

from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.guidance import UNGUIDED, Branches
from spectrodiff.diffusion.sampling import FEW_STEPS, PAPER_SAMPLING, Sampling, combine
from spectrodiff.diffusion.schedule import CosineSchedule, LinearSchedule

FITTED = Sampling("dpmpp", 3, times=(0.9, 0.5, 0.1))
GUIDED, APART = Branches(notes=False, neither=True), Branches(notes=True, neither=True)


@pytest.mark.parametrize(
    ("changes", "steps", "times"),
    [
        ({}, 3, (0.9, 0.5, 0.1)),
        ({"steps": 3, "spacing": "time", "start": 1.0}, 3, (0.9, 0.5, 0.1)),
        ({"guidance": 1.0, "sampler": "ddim", "times": None}, 3, (0.9, 0.5, 0.1)),
        ({"steps": 4}, 4, None),
        ({"spacing": "logsnr"}, 3, None),
        ({"start": 0.96}, 3, None),
        ({"times": [0.5, 0.2]}, 2, (0.5, 0.2)),
        ({"times": (0.5, 0.2), "steps": 2, "spacing": "logsnr"}, 2, (0.5, 0.2)),
    ],
)
def test_times_belong_to_steps_and_spacing(changes, steps, times):
    changed = FITTED.but(**changes)
    assert (changed.steps, changed.times) == (steps, times)
    assert changed.solver().times == times


def test_times_of_settings_that_do_not_say_their_number_of_steps():
    assert combine({"steps": 2}, {"times": [0.5, 0.2]}) == {"steps": 2, "times": [0.5, 0.2]}
    assert combine({"steps": 3}, {"times": [0.5, 0.2]}) == {"steps": 3, "times": None}
    assert combine({"steps": 3, "guidance": None}, {}) == {"steps": 3}


@pytest.mark.parametrize(
    ("settings", "evaluations"),
    [
        ({}, 16),
        ({"guidance": 1.0}, 8),
        ({"guidance": 0.0}, 16),
        # Eight equal steps start at 1, 0.875, ... 0.125: five of them are in the interval.
        ({"guidance_times": (0.25, 0.75)}, 13),
        ({"guidance_times": (0.0, 0.1)}, 8),
        ({"guidance_times": (1.0, 1.0)}, 9),
        ({"context_guidance": 2.0}, 24),
        ({"context_guidance": 2.0, "guidance_times": (0.25, 0.75)}, 18),
        ({"context_guidance": 1.5}, 16),
        ({"context_guidance": 1.5, "guidance": 1.0}, 16),
        ({"context_guidance": 2.0, "mask_context": True}, 16),
        # 0.96 * 5 / 8 is 0.6 up to rounding.
        ({"start": 0.96, "guidance_times": (0.0, 0.6)}, 13),
        ({"times": (0.9, 0.5, 0.1), "guidance_times": (0.5, 0.9)}, 5),
    ],
)
def test_evaluations_of_a_segment(settings, evaluations):
    assert FEW_STEPS.but(**settings).evaluations == evaluations


def test_evaluations_of_usual_settings():
    assert PAPER_SAMPLING.evaluations == 2000
    assert Sampling("ddim", steps=4, guidance=1.0).evaluations == 4


def test_which_steps_are_guided():
    third = Sampling("ddim", 4, guidance_times=(0.5, 0.75))
    assert third.branches(CosineSchedule()) == [UNGUIDED, GUIDED, GUIDED, UNGUIDED]
    apart = Sampling("ddim", 2, context_guidance=1.5, guidance_times=(0.9, 1.0))
    assert apart.branches(CosineSchedule()) == [APART, UNGUIDED]
    # Half of the range of log-SNR is at another time in another schedule.
    even = Sampling("ddim", 2, spacing="logsnr", guidance_times=(0.45, 0.55))
    assert even.branches(CosineSchedule()) == [UNGUIDED, GUIDED]
    assert even.branches(LinearSchedule()) == [UNGUIDED, UNGUIDED]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"guidance_times": (0.5,)}, "Sampling.guidance_times: expected two times in"),
        ({"guidance_times": (0.6, 0.5)}, "Sampling.guidance_times: expected two times in"),
        ({"guidance_times": (-0.1, 0.5)}, "Sampling.guidance_times: expected two times in"),
        ({"guidance_times": (0.0, 1.1)}, "Sampling.guidance_times: expected two times in"),
        ({"guidance_times": 0.5}, "Sampling.guidance_times: expected a list, each a number"),
        ({"context_guidance": float("inf")}, "Sampling.context_guidance: expected a finite number"),
        ({"spacing": "sigma"}, "Sampling.spacing: expected one of 'time', 'logsnr', got 'sigma'"),
        ({"times": (0.5,)}, "times: expected 1000 times, one per step"),
        ({"times": 0.5}, "Sampling.times: expected a list, each a number or None, got 0.5"),
        ({"start": 0.0}, "start: expected a time"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        Sampling(**settings)
    if "times" not in settings:
        with pytest.raises(ConfigError, match=message):
            FEW_STEPS.but(**settings)
