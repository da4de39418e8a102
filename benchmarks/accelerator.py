"""Speed of sampling and training on an accelerator, compared with the limits of the device.

    python benchmarks/accelerator.py --minutes 6 --out out/accelerator

measures on JAX's first device, within the given minutes, in this order:

    ceilings          rates of matrix products and of memory
    sampling          bfloat16, base and small, 1 and 16 segments, 1000 steps and 10
    training          bfloat16, one batch on the device: examples per second, utilization
    port              decoder of the PyTorch port on the same device, if torch is installed
    determinism       the same training twice
    loader            training on batches that are read meanwhile
    sampling-float32  like sampling
    larger-batches    training with twice the batch
    batch-4           sampling of 4 segments
    sound             inverter and features
    port-compiled     the port with torch.compile

The most important rows of each subject come first. --groups selects groups and their order. The
files results.json and accelerator.md are written after every row, plots after every group, so that
a run can be killed at any time. A row that fails has a note with the reason; so has one that is
skipped for lack of time. --tiny runs everything at sizes for a CPU, in seconds.
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
# Time after the given one at which the process ends itself.
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
    # The process of the port needs memory, so JAX must not allocate everything at once.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.85")
    from on_device.plan import run
    from on_device.scale import FULL, TINY

    begin = time.monotonic() if started is None else started
    scale = TINY if flags.tiny else FULL
    run(flags.groups, scale, flags.out, 60 * flags.minutes, begin, flags.port_python)


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--minutes", type=float, default=6.0, help="maximum time (default: %(default)s)")
    add("--out", type=Path, default=Path("out/accelerator"), help="folder (default: %(default)s)")
    add("--groups", nargs="+", choices=GROUPS, default=list(GROUPS), metavar="GROUP")
    add("--port_python", default=sys.executable, help="Python with torch and diffusers")
    add("--tiny", action="store_true", help="tiny sizes, for a test on a CPU")
    return parser.parse_args(arguments)


def leave(status: int) -> None:
    """Ends the process without waiting for compilations."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def give_up() -> None:
    print("out of time; see the folder of results", flush=True)
    leave(1)


if __name__ == "__main__":
    # In case the device hangs.
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
