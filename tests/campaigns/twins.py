"""Two of the same command at once: each ends well or says why not, and the result is that of one.

Sometimes the first of them is killed: what it has locked is free then.
"""

import dataclasses
import random
import signal

from tests.campaigns.harness import Campaign, store_as_json
from tests.campaigns.jobs import JOBS
from tests.campaigns.processes import (
    LIMITS,
    Place,
    Process,
    assert_calm,
    finish_as_whole,
    scratch,
    whole,
)

NAMES = ("train", "evaluate", "prepare", "convert", "sample", "render a corpus")


@dataclasses.dataclass(frozen=True)
class Twins:
    """Two commands.

    Attributes:
        job: name of both.
        delay: when the second one begins, as a part of the time of the first.
        killed: when the first one is killed, likewise, after that; None if it is not.
    """

    job: str
    delay: float
    killed: float | None


def make(seed: int) -> Twins:
    """Returns commands from a seed."""
    rng = random.Random(seed)
    delay = rng.choice((0.0, rng.random()))
    killed = delay + rng.random() * (1 - delay) if rng.random() < 0.3 else None
    return Twins(NAMES[seed % len(NAMES)], delay, killed)


def attempt(twins: Twins) -> str:
    """Runs two commands at once; returns what became of them.

    Raises:
        AssertionError: if both fail, one fails without a clear message, or the result is another.
    """
    wanted = whole(twins.job)
    with scratch() as folder:
        place = Place(JOBS[twins.job], folder / "place")
        place.copy(wanted.folder)
        with place.start() as first:
            first.wait_for(twins.delay * wanted.cpu_seconds)
            with place.start() as second:
                if twins.killed is not None and first.wait_for(twins.killed * wanted.cpu_seconds):
                    first.kill()
                endings = [_ending(first), _ending(second)]
        assert "done" in endings or "killed" in endings, f"{endings}: {first.said()}{second.said()}"
        finish_as_whole(place, wanted)
    return f"{twins.job}: {' and '.join(sorted(endings))}"


def _ending(process: Process) -> str:
    code = process.wait()
    if code == -signal.SIGKILL:
        return "killed"
    said = process.said()
    assert_calm(said)
    if code == 0:
        return "done"
    assert code == 1, f"exit status {code}: {said}"
    assert said.splitlines()[-1].startswith("error: "), said
    return "refused"


CAMPAIGN = Campaign(make, attempt, LIMITS, store=store_as_json, block=1)
