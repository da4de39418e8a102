"""Settings of all tests: strict numerics, eight devices, one cache of compiled programs."""

import contextlib
import ctypes
import gc
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from jaxtyping import install_import_hook

from tests.support.shapes import checked

# Shapes in the signatures of these modules are checked wherever a test calls them.
install_import_hook(
    [
        "spectrodiff.audio.features",
        "spectrodiff.diffusion",
        "spectrodiff.inverter",
        "spectrodiff.models",
    ],
    f"{checked.__module__}.{checked.__name__}",
)

# Programs are compiled once for all workers, the processes they start and the next `make test`;
# a folder that is named outside is taken instead.
COMPILED = Path(__file__).parents[1] / ".pytest_cache" / "compiled"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(COMPILED))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update(
    "jax_persistent_cache_min_compile_time_secs",
    float(os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"]),
)

# Most of the time goes to compiling networks of toy size, which gain little from being optimized.
# With less than this, rounding differs from what users get: sums are no longer fused.
# Both workers keep both processors busy; splitting a program among threads only costs time.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=1 --xla_cpu_parallel_codegen_split_count=1"
)

# Shapes are broadcast on purpose or not at all.
jax.config.update("jax_numpy_rank_promotion", "raise")
# Goldens were computed at the highest precision; on a CPU this changes nothing, elsewhere it does.
jax.config.update("jax_default_matmul_precision", "highest")
# What runs on many devices is tested on many, though they share a processor.
jax.config.update("jax_num_cpu_devices", 8)

# Shells make background processes ignore Ctrl-C, and so all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of reference arrays."""
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def midi_cases() -> Path:
    """Folder of MIDI files that are odd in one way each."""
    return Path(__file__).parent / "music" / "midi" / "cases"


# Above this, a worker drops the programs of the files it has run; both workers then fit in 6 GB.
MAX_RESIDENT_BYTES = 2 << 30


@pytest.fixture(autouse=True, scope="module")
def bounded_memory() -> Iterator[None]:
    """Drops compiled programs, which later files hardly share, once they take much memory."""
    yield
    statm = Path("/proc/self/statm")  # Linux only
    pages = int(statm.read_text().split()[1]) if statm.exists() else 0
    if pages * resource.getpagesize() > MAX_RESIDENT_BYTES:
        jax.clear_caches()
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # glibc keeps what is freed
            ctypes.CDLL("libc.so.6").malloc_trim(0)


# Minutes each: begun last, one of them would keep a single worker busy while others have nothing.
LONGEST = ("test_commands_in_their_order", "test_two_processes_train_and_save_together")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first."""
    items.sort(key=lambda item: not item.name.startswith(LONGEST))
