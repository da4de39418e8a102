"""Commands that are killed and find another world when they go on.

Folders are read-only or have other names, the clock is set back or forward, and files are from
1970 or from the future. Where nothing can be written the command says so in a line and changes
nothing; everywhere else it goes on, with the same result to the bit.
"""

import contextlib
import dataclasses
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.campaigns.harness import Campaign, store_as_json
from tests.campaigns.jobs import JOBS
from tests.campaigns.processes import (
    LIMITS,
    Place,
    assert_calm,
    assert_no_halves,
    finish_as_whole,
    scratch,
    whole,
)

NAMES = ("train", "evaluate", "prepare", "convert", "sample", "render a corpus")
READ_ONLY_RESULT, READ_ONLY_INPUTS = "read-only result", "read-only inputs"
MOVED, CLOCK = "moved folders", "another clock"
KINDS = (READ_ONLY_RESULT, READ_ONLY_INPUTS, MOVED, CLOCK)
DAY = 86_400.0
YEAR = 365 * DAY
SHIFTS = (-3600.0, -DAY, -10 * YEAR, 10 * YEAR)
# Of files: in 1970, in 2100, and in any order.
TIMES = (0.0, 130 * YEAR)


@dataclasses.dataclass(frozen=True)
class Change:
    """Change of the world around a command.

    Attributes:
        job: its name.
        kind: one of KINDS.
        moment: when it is killed before, as a part of its time.
        seed: of details.
    """

    job: str
    kind: str
    moment: float
    seed: int


def make(seed: int) -> Change:
    """Returns a change from a seed."""
    rng = random.Random(seed)
    kind = KINDS[seed // len(NAMES) % len(KINDS)]
    return Change(NAMES[seed % len(NAMES)], kind, rng.random(), seed)


def attempt(change: Change) -> str:
    """Kills a command, changes what is around it, and finishes it; returns the kind of change.

    Raises:
        AssertionError: if it does not go on as promised.
    """
    wanted, rng = whole(change.job), random.Random(change.seed)
    with scratch() as folder:
        place = Place(JOBS[change.job], folder / "place")
        place.copy(wanted.folder)
        with place.start() as process:
            process.wait_for(change.moment * wanted.cpu_seconds)
        assert_no_halves(place, wanted)
        if change.kind == READ_ONLY_RESULT:
            _refused(place)
            finish_as_whole(place, wanted)
        elif change.kind == READ_ONLY_INPUTS:
            with _read_only(place, place.home):
                finish_as_whole(place, wanted)
        elif change.kind == MOVED:
            for name in ("home", "out", "cache"):
                path = getattr(place, name)
                moved = place.folder / "elsewhere" / path.name
                moved.parent.mkdir(exist_ok=True)
                if path.exists():
                    path.rename(moved)
                setattr(place, name, moved)
            finish_as_whole(place, wanted)
        else:
            _set_times(place.folder, rng)
            place.wrap = _shifted(rng.choice(SHIFTS))
            finish_as_whole(place, wanted)
    return f"{change.job}: {change.kind}"


def _refused(place: Place) -> None:
    """Runs a command that cannot write its result, and checks that it says so."""
    results = place.out.parent
    before = _files(results)
    with _read_only(place, results), place.start() as process:
        code, said = process.wait(), process.said()
    assert code == 1, f"exit status {code}: {said}"
    assert_calm(said)
    assert said.splitlines()[-1].startswith("error: "), said
    assert _files(results) == before, "changed in a read-only folder"


@contextlib.contextmanager
def _read_only(place: Place, folder: Path) -> Iterator[None]:
    """Makes a folder read-only, for root, too."""
    paths = [folder, *folder.rglob("*")]
    modes = {path: path.stat().st_mode for path in paths}
    try:
        for path in paths:
            path.chmod(modes[path] & ~0o222)
        place.wrap = _without_privileges
        yield
    finally:
        place.wrap = list
        for path, mode in modes.items():
            path.chmod(mode)


def _without_privileges(words: list[str]) -> list[str]:
    """Returns a command line whose process has to keep to the modes of files."""
    if os.geteuid():
        return words
    if not shutil.which("setpriv"):
        raise RuntimeError("root without setpriv can write everywhere")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--", *words]


def _shifted(seconds: float) -> Callable[[list[str]], list[str]]:
    """Returns a function that changes a command line to one with another clock."""
    return lambda words: [sys.executable, "-m", "tests.campaigns.shifted", str(seconds), *words[1:]]


def _set_times(folder: Path, rng: random.Random) -> None:
    """Gives all files the same odd time, or each another one."""
    same = rng.choice((*TIMES, None))
    for path in folder.rglob("*"):
        seconds = rng.uniform(*TIMES) if same is None else same
        os.utime(path, (seconds, seconds))


def _files(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


CAMPAIGN = Campaign(make, attempt, LIMITS, store=store_as_json, block=1)
