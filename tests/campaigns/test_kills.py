"""A few kills, signals, second processes and other places, of the cheapest commands."""

import sys

import pytest

from tests.campaigns import kills, places, processes, signals, twins
from tests.campaigns.kills import CHANGE, TIME, Kills
from tests.campaigns.places import Change
from tests.campaigns.signals import Signals
from tests.campaigns.twins import Twins

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads the processor time of others from /proc"
)


def test_a_killed_run_resumes_exactly():
    """Killed in its start, and while it saves."""
    found = kills.attempt(Kills("train", ((TIME, 0.2), (CHANGE, 0.8))))
    assert found == "killed 2 times"


def test_a_killed_evaluation_has_the_same_scores():
    assert kills.attempt(Kills("evaluate", ((CHANGE, 0.4),))) == "killed once"


@pytest.mark.parametrize("job", ["prepare", "convert"])
def test_a_killed_command_leaves_nothing_or_all(job):
    moments = ((CHANGE, 0.3), (CHANGE, 0.7), (TIME, 0.6))
    assert kills.attempt(Kills(job, moments)).startswith("killed")


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_ends_a_command(number):
    found = signals.attempt(Signals("prepare", number, (0.3,), to_group=True))
    # 0 if it was done before, on a busy machine.
    assert found in (f"prepare: {128 + number}", f"prepare: {-number}", "prepare: 0")


@pytest.mark.parametrize("job", ["prepare", "convert"])
def test_two_processes(job):
    assert "done" in twins.attempt(Twins(job, 0.0, None))


@pytest.mark.parametrize("kind", places.KINDS)
def test_another_world(kind):
    assert places.attempt(Change("prepare", kind, 0.7, 1)) == f"prepare: {kind}"


def test_what_is_damaged_is_noticed(tmp_path):
    """The checks of this campaign fail if a result is another one."""
    with pytest.raises(AssertionError, match="a/1: expected 1, got 2"):
        processes.assert_same({"a": [0, 2]}, {"a": [0, 1]})
    with pytest.raises(AssertionError, match="b: expected 1, got nothing"):
        processes.assert_same({}, {"b": 1})
    for seed in range(50):
        assert kills.kills_of("prepare").make(seed) == kills.kills_of("prepare").make(seed)
