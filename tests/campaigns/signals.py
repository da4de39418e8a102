"""Commands that get SIGTERM or Ctrl-C: they end soon and quietly, and go on when repeated."""

import dataclasses
import random
import signal

from tests.campaigns.harness import Campaign, store_as_json
from tests.campaigns.jobs import JOBS, PAGE
from tests.campaigns.processes import (
    LIMITS,
    Place,
    assert_calm,
    assert_no_halves,
    finish_as_whole,
    scratch,
    whole,
)

# Processor time, since the machine may be busy.
MOST_CPU_SECONDS = 10.0
# Status of a command that stopped as asked or was done, by signal. SIGTERM ends most of them as the
# system does, like Ctrl-C while Python ends.
STATUS = {
    signal.SIGTERM: {0, 128 + signal.SIGTERM, -signal.SIGTERM},
    signal.SIGINT: {0, 128 + signal.SIGINT, -signal.SIGINT},
}
PLAYED = "play"
# The page takes as long to open as songs to render.
NAMES = (
    "train",
    "evaluate",
    "prepare with workers",
    "render a corpus",
    "convert to ONNX",
    "sample",
)


@dataclasses.dataclass(frozen=True)
class Signals:
    """Signals for a command.

    Attributes:
        job: its name.
        number: of the signal.
        moments: when it comes, as parts of the time of the command.
        to_group: all processes of the command get it, as from a terminal.
    """

    job: str
    number: int
    moments: tuple[float, ...]
    to_group: bool


def make(seed: int) -> Signals:
    """Returns signals from a seed."""
    rng = random.Random(seed)
    names = (*NAMES, PLAYED)
    number = rng.choice((signal.SIGTERM, signal.SIGINT))
    first = rng.random()
    moments = (first, first + rng.choice((0.0, 0.01, 0.1))) if rng.random() < 0.4 else (first,)
    return Signals(names[seed % len(names)], int(number), moments, rng.random() < 0.5)


def attempt(signals: Signals) -> str:
    """Sends signals to a command, and finishes it; returns how it ended.

    Raises:
        AssertionError: if it does not end as promised, or leaves anything by half.
    """
    played = signals.job == PLAYED
    wanted = whole("sample" if played else signals.job)
    with scratch() as folder:
        place = Place(PAGE if played else JOBS[signals.job], folder / "place")
        place.copy(wanted.folder)
        with place.start() as process:
            for moment in signals.moments:
                if process.wait_for(moment * wanted.cpu_seconds):
                    process.send(signals.number, to_group=signals.to_group)
            before = process.cpu_seconds()
            if process.wait_for(before + MOST_CPU_SECONDS):
                raise AssertionError(
                    f"it waits, or takes over {MOST_CPU_SECONDS} s: {process.said()}"
                )
            code = process.wait()
        said = process.said()
        assert code in STATUS[signal.Signals(signals.number)], f"exit status {code}: {said}"
        assert_calm(said)
        if not played:
            assert_no_halves(place, wanted)
            finish_as_whole(place, wanted)
    return f"{signals.job}: {code}"


CAMPAIGN = Campaign(make, attempt, LIMITS, store=store_as_json, block=1)
