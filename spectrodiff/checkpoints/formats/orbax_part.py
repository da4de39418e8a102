"""Reads all arrays of a part of a checkpoint in a process of its own, to find damage.

TensorStore trusts sizes in files: a few bytes that describe an array larger than memory, or a
million long names, end the process that reads them. The process of this module ends instead, at
limits that follow from the size of the network.
"""

import contextlib
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spectrodiff.core.errors import first_line

_ARRAY = "/zarr.json"
_DETAILS = re.compile(r" \[[\w ]+='")  # TensorStore appends, for example, [tensorstore_spec='...
# Beside the array that is read and what it is unpacked from.
_FREE_BYTES = 200 << 20
_SECONDS, _BYTES_PER_SECOND = 10, 20_000_000


class Found(NamedTuple):
    """Result of reading a part.

    Attributes:
        damage: a phrase, or None without damage.
        size: bytes of all arrays; they are read only if these are not too many.
    """

    damage: str | None
    size: int = 0


def read_part(folder: Path, most: int) -> Found:
    """Reads all arrays of a part, one at a time.

    Args:
        folder: absolute path of the part.
        most: number of bytes of all arrays up to which they are read.
    """
    done = subprocess.run(
        # Without -P, modules would be looked for in the working directory first.
        [sys.executable, "-P", "-m", __name__, os.fspath(folder), str(most)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        # The package need not be installed.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    try:
        return Found(*json.loads(done.stdout))
    except (TypeError, ValueError):
        return Found(f"reading it took too much memory or time (status {done.returncode})")


def brief_reason(error: BaseException) -> str:
    """Returns the first line of a message without the details that TensorStore appends."""
    return _DETAILS.split(first_line(error), maxsplit=1)[0]


def _main(path: str, most: str) -> None:
    import tensorstore  # noqa: F401, imported before the limits are set

    _limit(int(most))
    try:
        found = _read(Path(path), int(most))
    except Exception as error:  # TensorStore has many
        found = Found(brief_reason(error))
    print(json.dumps(found))


def _limit(most: int) -> None:
    """Limits memory and time of this process, where the system can do that."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        seconds = _SECONDS + most // _BYTES_PER_SECOND
        # Private memory, without what programs and libraries take.
        used = 1024 * int(re.findall(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text())[0])
        for kind, limit in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_DATA, used + _FREE_BYTES + 2 * most),
        ):
            _, hard = resource.getrlimit(kind)
            lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(kind, (lower, hard))


def _read(folder: Path, most: int) -> Found:
    import tensorstore

    store = {"driver": "ocdbt", "base": folder.as_uri() + "/"}
    keys = tensorstore.KvStore.open(store).result().list().result()
    names = [key.decode().removesuffix(_ARRAY) for key in keys if key.decode().endswith(_ARRAY)]
    if not names:
        return Found("no arrays" if (folder / "manifest.ocdbt").is_file() else "no manifest.ocdbt")
    arrays: list[Any] = []
    for name in names:
        spec = {
            "driver": "zarr3",
            "kvstore": {**store, "path": name + "/"},
            # By default, missing chunks are read as zeros.
            "fill_missing_data_reads": False,
        }
        arrays.append(tensorstore.open(spec, open=True, read=True).result())
    size = sum(
        math.prod(array.shape) * np.dtype(array.dtype.numpy_dtype).itemsize for array in arrays
    )
    if size > most:
        return Found(None, size)
    for name, array in zip(names, arrays, strict=True):
        chunk = array.chunk_layout.read_chunk.shape
        if chunk is not None and math.prod(chunk) > max(1, math.prod(array.shape)):
            return Found(f"{name} has chunks of shape {chunk}", size)
        array.read().result()
    return Found(None, size)


if __name__ == "__main__":
    _main(*sys.argv[1:])
