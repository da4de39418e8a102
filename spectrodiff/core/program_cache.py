"""The cache of compiled programs on disk, kept readable and bounded.

JAX writes an entry in place and never again. A full disk or the end of a process leaves a part of
one, which JAX then reports whenever it is looked up, for ever. Here such entries are removed when
JAX reports them, before it compiles and writes the program anew. JAX's own bound is not used: with
it every look-up writes, and one entry without its time of access stops all writing.
"""

import contextlib
import logging
import os
import re
import stat
import warnings
import zlib
from pathlib import Path
from typing import Any, TextIO

from spectrodiff.core.errors import first_line

logger = logging.getLogger(__name__)

MAX_BYTES = 1 << 30
_ENTRY = "-cache"
# First bytes of what the package zstandard compresses, which JAX uses if it is installed.
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_REPORTS = re.compile(
    r"Error (reading|writing) persistent compilation cache entry for '(.*?)': (.*)", re.DOTALL
)


def open_cache(folder: Path, most: int | None) -> bool:
    """Makes JAX keep compiled programs in a folder.

    Args:
        folder: made if it does not exist.
        most: bytes that the entries may take together at the start; those that were not used for
            the longest time are removed. None for any number.

    Returns:
        False if the folder cannot be read; nothing is kept then, and a warning says so.
    """
    import jax

    try:
        folder.mkdir(parents=True, exist_ok=True)
        _tidy(folder, most)
    except OSError as error:
        logger.warning("%s: compiled programs are not kept (%s)", folder, first_line(error))
        jax.config.update("jax_compilation_cache_dir", None)
        return False
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # Cache even short compilations: rendering needs many small programs before its first output.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if not isinstance(getattr(warnings.showwarning, "__self__", None), _Reports):
        # Every report is needed, whatever filters of warnings say.
        warnings.filterwarnings("always", message="Error (reading|writing) persistent compilation")
        warnings.showwarning = _Reports().show
    return True


class _Reports:
    """Receiver of Python's warnings that acts on JAX's reports of the cache; others pass.

    One line says that programs are removed, and one that they cannot be written, whatever their
    number.
    """

    def __init__(self) -> None:
        self._others = warnings.showwarning
        self._said = set[str]()

    def show(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Takes the arguments of `warnings.showwarning`."""
        import jax

        config: Any = jax.config
        folder: str | None = config.jax_compilation_cache_dir
        found = _REPORTS.match(str(message))
        if found is None or not folder:
            self._others(message, category, filename, lineno, file, line)
            return
        action, program, reason = found.groups()
        _remove_damaged(Path(folder), program, or_all=action == "reading")
        if action not in self._said:
            self._said.add(action)
            what = {
                "reading": "damaged compiled programs are removed and compiled again",
                "writing": "compiled programs are not kept",
            }
            logger.warning("%s: %s (%s)", folder, what[action], reason.partition("\n")[0])


def _tidy(folder: Path, most: int | None) -> None:
    """Removes what is no file, or empty, and the oldest entries beyond `most` bytes in all."""
    entries, total = [], 0
    with os.scandir(folder) as found:
        for entry in found:
            if not entry.name.endswith(_ENTRY):
                continue
            # Another process may just have removed it; a folder it is not ours to remove.
            with contextlib.suppress(OSError):
                status = os.stat(entry.path)
                if not stat.S_ISREG(status.st_mode) or not status.st_size:
                    os.unlink(entry.path)
                    continue
                entries.append((max(status.st_atime, status.st_mtime), entry.path, status.st_size))
                total += status.st_size
    for _, path, size in sorted(entries):
        if most is None or total <= most:
            break
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size


def _remove_damaged(folder: Path, program: str, *, or_all: bool) -> None:
    """Removes the entries of a program that are incomplete.

    Args:
        folder: the cache.
        program: name of the program, which may have several entries for different shapes.
        or_all: whether to remove all of them if none is.
    """
    name = re.compile(f"{re.escape(program)}-[0-9a-f]+{_ENTRY}")
    entries = [path for path in folder.glob(f"*{_ENTRY}") if name.fullmatch(path.name)]
    damaged = [path for path in entries if not _is_whole(path)]
    for path in damaged or (entries if or_all else []):
        with contextlib.suppress(OSError):
            path.unlink()


def _is_whole(path: Path) -> bool:
    """Returns True if an entry can be decompressed, or JAX compressed it in its other way."""
    try:
        data = path.read_bytes()
        return data.startswith(_ZSTANDARD) or bool(zlib.decompress(data))
    except (OSError, zlib.error):
        return False
