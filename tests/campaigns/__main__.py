"""Runs a campaign of any length.

    python -m tests.campaigns midi --tries 100000
    python -m tests.campaigns checkpoints --minutes 30 --workers 2

goes on where the same command stopped before, until all is tried or the time is over. A line says
how many attempts were made, how many survived, and how many faults there were. The smallest inputs
that still have a fault are stored in --out.
"""

import argparse
import sys
import time
from pathlib import Path

from tests.campaigns import harness
from tests.campaigns.harness import Outcome

CAMPAIGNS = (
    "midi",
    "audio",
    "checkpoints",
    "disk",
    "kill_training",
    "kill_preparation",
    "kill_evaluation",
    "kill_conversion",
    "kill_sampling",
    "signals",
    "twins",
    "places",
    "songs",
)
FAULTS_SHOWN = 20


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m tests.campaigns", description=__doc__.split("\n")[0]
    )
    parser.add_argument("campaign", choices=CAMPAIGNS)
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--tries", type=int, default=1000, help="number of attempts (%(default)s)")
    limit.add_argument("--minutes", type=float, help="how long to go on, instead")
    parser.add_argument("--seed", type=int, default=0, help="that of the first (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument("--out", type=Path, help="folder of results (out/campaigns/CAMPAIGN)")
    parser.add_argument("--new", action="store_true", help="do not go on, begin again")
    flags = parser.parse_args()
    out = flags.out or harness.ROOT / "out" / "campaigns" / flags.campaign
    out.mkdir(parents=True, exist_ok=True)
    if flags.new:
        (out / "state.json").unlink(missing_ok=True)
    end = time.monotonic() + 60 * (flags.minutes or float("inf"))
    stop = sys.maxsize if flags.minutes else flags.seed + flags.tries
    name = f"tests.campaigns.{flags.campaign}"
    outcome = harness.run(
        name,
        range(flags.seed, stop),
        workers=flags.workers,
        folder=out,
        goes_on=lambda: time.monotonic() < end,
        say=lambda line: print(line, flush=True),
    )
    print(f"{flags.campaign}: {outcome}")
    store_faults(name, outcome, out)
    return int(bool(outcome.faults))


def store_faults(name: str, outcome: Outcome, out: Path) -> None:
    """Stores the smallest input found for each kind of fault, with its traceback."""
    kinds = {harness.last_line(text): seed for seed, text in reversed(outcome.faults.items())}
    for line, seed in list(kinds.items())[:FAULTS_SHOWN]:
        path = out / f"fault_{seed}"
        path.with_suffix(".txt").write_text(outcome.faults[seed])
        store = harness.load(name).store
        if store is not None:
            store(harness.smallest(name, seed, outcome.faults[seed]), path)
        alike = sum(harness.last_line(text) == line for text in outcome.faults.values())
        print(f"{path}: {line} ({alike} alike)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
