"""Makes the attempts of a campaign in this process; the harness starts it.

    python -m tests.campaigns.child MODULE FIRST STOP [--input FILE]

prints a line of JSON for each seed: seed, kind, traceback. With --input there is one attempt, with
the input that is pickled in that file.
"""

import argparse
import json
import os
import pickle
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.campaigns import harness
from tests.campaigns.harness import FAULT, READY, Campaign, Limits
from tests.support.limits import limit_memory

# A process apart may use this much more than its limit, which is checked afterwards: a program that
# catches the error of an allocation would otherwise hide that it needs too much.
ROOM = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module")
    parser.add_argument("first", type=int)
    parser.add_argument("stop", type=int)
    parser.add_argument("--input", type=Path)
    flags = parser.parse_args()
    # Shells make background processes ignore Ctrl-C, and so all that these start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    campaign = harness.load(flags.module)
    make = campaign.make
    if flags.input:
        make = lambda _: pickle.loads(flags.input.read_bytes())  # noqa: E731
    serve(campaign, range(flags.first, flags.stop), make)


def serve(campaign: Campaign, seeds: range, make: Callable[[int], Any] | None = None) -> None:
    """Makes attempts and prints what became of them."""
    make = make or campaign.make
    memory = campaign.limits.memory_bytes
    if memory and not campaign.apart:
        limit_memory(memory)
    # What libraries print goes elsewhere.
    results = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    print(READY, end="", flush=True, file=results)
    for seed in seeds:
        made = make(seed)
        if campaign.apart:
            kind, text = _apart(campaign, made)
        else:
            kind, text = _attempt(campaign, made)
        print(json.dumps([seed, kind, text]), flush=True, file=results)


def _attempt(campaign: Campaign, made: Any) -> tuple[str, str]:
    # The signal ends the process. Seconds of this process, whatever else the machine does.
    signal.setitimer(signal.ITIMER_PROF, campaign.limits.cpu_seconds or 0)
    try:
        return campaign.attempt(made), ""
    except Exception:
        return FAULT, traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _apart(campaign: Campaign, made: Any) -> tuple[str, str]:
    """Makes an attempt in a copy of this process."""
    before = _resident_bytes()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        if memory := campaign.limits.memory_bytes:
            limit_memory(ROOM * memory)
        result = json.dumps(_attempt(campaign, made)).encode()
        with open(write, "wb") as pipe:
            pipe.write(result)
        sys.stdout.flush()
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        result = pipe.read()
    _, status, usage = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code or not result:
        return FAULT, harness.ending(code, campaign.limits)
    kind, text = json.loads(result)
    return _within(campaign.limits, usage.ru_maxrss * 1024 - before, kind, text)


def _within(limits: Limits, grown: int, kind: str, text: str) -> tuple[str, str]:
    if limits.memory_bytes and grown > limits.memory_bytes and kind != FAULT:
        return FAULT, f"more than {limits.memory_bytes >> 20} MiB"
    return kind, text


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
