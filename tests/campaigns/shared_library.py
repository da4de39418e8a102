"""Libraries in C put before a command: they count calls of the system, or let them fail."""

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.campaigns.harness import ROOT

CACHE = ROOT / ".pytest_cache" / "campaigns"


@functools.cache
def compiled(source: Path) -> Path | None:
    """Compiles a file once; returns None where there is no compiler, or no Linux."""
    checksum = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    library = CACHE / f"{source.stem}-{checksum}.so"
    if library.exists():
        return library
    if not sys.platform.startswith("linux") or not shutil.which("cc"):
        return None
    CACHE.mkdir(parents=True, exist_ok=True)
    made = library.with_suffix(f".{os.getpid()}")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return made.replace(library)
