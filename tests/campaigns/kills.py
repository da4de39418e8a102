"""Commands that are killed some times and then finished: as if nothing had happened.

A kill ends all processes of a command: after some of the processor time it would take, or at a
change of a file, half of which is written. What is left has no half of a file under a final name,
the same command finishes it, and the result is to the bit that of a command that was not killed.
"""

import dataclasses
import random
import signal
from collections.abc import Iterator

from tests.campaigns.harness import Campaign, store_as_json
from tests.campaigns.jobs import JOBS
from tests.campaigns.processes import (
    LIMITS,
    Place,
    Whole,
    assert_calm,
    assert_no_halves,
    counter_library,
    counting,
    finish_as_whole,
    scratch,
    whole,
)

MOST_KILLS = 3
TIME, CHANGE = "time", "change of a file"


@dataclasses.dataclass(frozen=True)
class Kills:
    """Kills of a command.

    Attributes:
        job: its name.
        moments: kind and moment of each kill, the moment as a part of the time or of the changes.
        cold: no compiled programs are there.
    """

    job: str
    moments: tuple[tuple[str, float], ...]
    cold: bool = False


def kills_of(*jobs: str, kinds: tuple[str, ...] = (TIME, CHANGE)) -> Campaign:
    """Returns the campaign of the kills of some commands, one after the other."""

    def make(seed: int) -> Kills:
        rng = random.Random(seed)
        several = rng.randint(1, MOST_KILLS)
        moments = tuple((rng.choice(kinds), rng.random()) for _ in range(several))
        return Kills(jobs[seed % len(jobs)], moments, cold=rng.random() < 0.15)

    return Campaign(make, attempt, LIMITS, smaller=smaller, store=store_as_json, block=1)


def attempt(kills: Kills) -> str:
    """Kills a command, finishes it, and returns how often it was killed.

    Raises:
        AssertionError: if the result is another than without kills, or anything is written by half.
    """
    job, wanted = JOBS[kills.job], whole(kills.job)
    with scratch() as folder:
        place = Place(job, folder / "place", cold=kills.cold)
        place.copy(wanted.folder)
        killed = 0
        for kind, moment in kills.moments:
            if job.refuses and place.out.exists():
                break
            killed += _kill(place, wanted, kind, moment)
            assert_no_halves(place, wanted)
        finish_as_whole(place, wanted)
    return f"killed {killed} times" if killed != 1 else "killed once"


def _kill(place: Place, wanted: Whole, kind: str, moment: float) -> bool:
    """Runs a command and kills it; returns False if it ends before."""
    if kind == TIME or counter_library() is None:
        with place.start() as process:
            killed = process.wait_for(moment * wanted.cpu_seconds)
    else:
        last = 1 + int(moment * wanted.changes)
        with counting(place.folder, last) as (environment, _), place.start(environment) as process:
            killed = process.wait() == -signal.SIGKILL
    assert_calm(process.said())
    return killed


def smaller(kills: Kills) -> Iterator[Kills]:
    """Yields the same without one of the kills."""
    for number in range(len(kills.moments)):
        moments = kills.moments[:number] + kills.moments[number + 1 :]
        yield dataclasses.replace(kills, moments=moments)
