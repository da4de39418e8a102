"""Speed of sampling and training on an accelerator, beside the device's own limits.

    python benchmarks/accelerator.py --minutes 6 --out out/accelerator

measures on JAX's first device, within the minutes given, in this order:

    ceilings          rates of matrix products and of memory
    sampling          bfloat16, base and small, 1 and 16 segments, 1000 steps and 10
    training          bfloat16, one batch on the device: examples a second, utilisation
    port              the PyTorch port's decoder on the same device, where there is torch
    determinism       the same training twice
    loader            training on batches that are read meanwhile
    sampling-float32  as above
    larger-batches    training with twice the batch
    batch-4           sampling of 4 segments
    sound             the inverter and the features
    port-compiled     the port through torch.compile

With few minutes each subject gets its most important rows before any gets the rest; --groups
chooses some, in an order of one's own. After every row results.json and accelerator.md in the
folder of results are up to date, plots after every group: a run can be killed at any time. A row
that fails says why, and the others go on; what does not fit the time is skipped and says so. --tiny
runs everything at sizes that a CPU manages in seconds.
"""

import argparse
import os
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from spectrodiff.commands import program

STARTED = time.monotonic()
# After this much more than the time given, the process ends itself.
GRACE_SECONDS = 20.0

GROUPS = (
    "ceilings",
    "sampling",
    "training",
    "port",
    "determinism",
    "loader",
    "sampling-float32",
    "larger-batches",
    "batch-4",
    "sound",
    "port-compiled",
)


def main(arguments: Sequence[str], started: float | None = None) -> None:
    flags = parse_flags(arguments)
    # The port's process needs memory of its own, so JAX must not take all that there is at once.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.85")
    from on_device.plan import run
    from on_device.scale import FULL, TINY

    begun = time.monotonic() if started is None else started
    scale = TINY if flags.tiny else FULL
    run(flags.groups, scale, flags.out, 60 * flags.minutes, begun, flags.port_python)


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--minutes", type=float, default=6.0, help="how long it may take (default: %(default)s)")
    add("--out", type=Path, default=Path("out/accelerator"), help="default: %(default)s")
    add("--groups", nargs="+", choices=GROUPS, default=list(GROUPS), metavar="GROUP")
    add("--port_python", default=sys.executable, help="a Python with torch and diffusers")
    add("--tiny", action="store_true", help="tiny sizes, to try it out")
    return parser.parse_args(arguments)


def leave(status: int) -> None:
    """Ends the process without waiting for compilations that nobody needs any more."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def give_up() -> None:
    print("over time; what was measured is in the folder of results", flush=True)
    leave(1)


if __name__ == "__main__":
    # For a device that hangs: whoever started this may have other things to do.
    seconds = 60 * parse_flags(sys.argv[1:]).minutes + GRACE_SECONDS
    watchdog = threading.Timer(seconds, give_up)
    watchdog.daemon = True
    watchdog.start()
    try:
        status = program.run(lambda arguments: main(arguments, STARTED))
    except BaseException:
        traceback.print_exc()
        status = 1
    leave(status)
