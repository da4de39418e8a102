"""Reading of damaged and hostile checkpoints in all layouts.

A checkpoint is read, or refused in one line that names a file in its folder. No hidden command
runs, nothing is written or changed, and memory and time stay within the limits.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  imported before attempts, which are processes of their own
import numpy as np
import onnxruntime  # noqa: F401
import safetensors.numpy  # noqa: F401
import tensorstore  # noqa: F401
from orbax.checkpoint import v1  # noqa: F401

from spectrodiff.checkpoints.downloads.archive import unpack
from spectrodiff.checkpoints.layouts.mt3 import import_mt3
from spectrodiff.checkpoints.layouts.vggish import import_vggish
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.checkpoints.tree import expected_shapes, flatten
from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.inverter import OnnxInverter
from spectrodiff.inverter.files import load_inverter
from spectrodiff.inverter.networks.generators import generator_of
from spectrodiff.models.definition import define
from spectrodiff.models.mt3 import Mt3
from spectrodiff.models.vggish import Vggish
from tests.campaigns.harness import Campaign, Limits
from tests.campaigns.mutants.bases import bases
from tests.campaigns.mutants.checkpoints import Mutant, mutant, smaller, write
from tests.campaigns.mutants.checks import check_message, quiet
from tests.campaigns.mutants.hostile import MARKER

READ, REFUSED = "read", "refused"
# The weights of all bases have less than a megabyte.
MEMORY_BYTES = 200 << 20
CPU_SECONDS, SECONDS = 10, 60


def attempt(made: Mutant) -> str:
    """Opens a checkpoint; returns its layout and what became of it.

    Raises:
        Exception: if anything is not as promised.
    """
    home = Path(tempfile.mkdtemp())
    try:
        for name in ("model", "current", "temporary", "home"):
            (home / name).mkdir()
        folder = home / "model"
        write(made.files(), folder)
        _move_to(home)
        before = contents(folder)
        with quiet():
            outcome = _open(made.layout, folder)
        check_files(home, before)
        return f"{made.layout} {outcome}"
    finally:
        os.chdir("/")
        shutil.rmtree(home, ignore_errors=True)


def _move_to(home: Path) -> None:
    """Makes this process write into folders that can be looked at."""
    os.chdir(home / "current")
    os.environ |= {"TMPDIR": str(home / "temporary"), "HOME": str(home / "home")}
    os.environ |= {"XDG_CACHE_HOME": str(home / "home"), "SPECTRODIFF_CACHE": str(home / "home")}
    tempfile.tempdir = None


def _open(layout: str, folder: Path) -> str:
    try:
        _OPENERS.get(layout, _open_model)(folder)
    except (CheckpointError, ConfigError) as error:
        check_message(error, str(folder))
        return REFUSED
    return READ


def _open_model(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    assert isinstance(checkpoint, Checkpoint)
    check_params(checkpoint.params, expected_shapes(checkpoint.config))


def _open_archive(folder: Path) -> None:
    # What is unpacked counts as part of the folder while it is read.
    archive, target = folder / "released.zip", folder / "unpacked"
    try:
        unpack(archive, target, str(archive))
        _open_model(target)
    except OSError as error:
        if error.filename != str(archive):
            raise
        raise CheckpointError(archive, "an archive", str(error.strerror)) from None
    finally:
        shutil.rmtree(target, ignore_errors=True)


def _open_mt3(folder: Path) -> None:
    config, params = import_mt3(folder)
    check_params(params, define(Mt3, config).named_shapes)


def _open_vggish(folder: Path) -> None:
    (file,) = [path for path in folder.iterdir() if path.stem == "vggish"] or [
        folder / "vggish.npz"
    ]
    config, params = import_vggish(file)
    check_params(params, define(Vggish, config).named_shapes)


def _open_inverter(folder: Path) -> None:
    stored = load_inverter(folder / "inverter.safetensors")
    check_params(stored.params, define(generator_of(stored.config), stored.config).named_shapes)


def _open_onnx(folder: Path) -> None:
    OnnxInverter(folder / "inverter.onnx", "cpu")


_OPENERS: dict[str, Callable[[Path], None]] = {
    "archive": _open_archive,
    "mt3": _open_mt3,
    "vggish_npz": _open_vggish,
    "vggish_safetensors": _open_vggish,
    "vggish_pth": _open_vggish,
    "vggish_old_pth": _open_vggish,
    "inverter": _open_inverter,
    "onnx": _open_onnx,
}


def check_params(params: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    """Checks that parameters are float32 of the shapes that the sizes say.

    Raises:
        AssertionError: if they are not.
    """
    arrays = flatten(params)
    assert arrays.keys() == shapes.keys(), sorted(arrays.keys() ^ shapes.keys())[:5]
    for name, values in arrays.items():
        assert values.shape == tuple(shapes[name]), f"{name} is {values.shape}, not {shapes[name]}"
        assert values.dtype == np.float32, f"{name} is {values.dtype}"


def check_files(home: Path, before: dict[str, str]) -> None:
    """Checks that nothing ran and nothing was written.

    Raises:
        AssertionError: if something was.
    """
    for name in ("current", "temporary", "home"):
        new = sorted(path.name for path in (home / name).rglob("*"))
        assert MARKER not in new, "a hidden command ran"
        assert not new, f"{new[:5]} in {name}"
    assert {path.name for path in home.iterdir()} == {"current", "temporary", "home", "model"}
    after = contents(home / "model")
    changed = sorted(name for name in before | after if before.get(name) != after.get(name))
    assert not changed, f"changed {changed[:5]}"


def contents(folder: Path) -> dict[str, str]:
    """Returns what is in a folder: kind, size and the checksum of short files, by name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        text = f"{stat.S_IFMT(status.st_mode)} {status.st_size} {status.st_mtime_ns}"
        if stat.S_ISREG(status.st_mode) and status.st_blocks * 512 < 1 << 24:
            text += (
                hashlib.sha256(path.read_bytes()).hexdigest() if status.st_size < 1 << 24 else ""
            )
        found[str(path)] = text if not stat.S_ISDIR(status.st_mode) else "folder"
    return found


def store(made: Mutant, path: Path) -> None:
    """Writes a checkpoint, and the changes it is made of."""
    folder = path.with_suffix(".folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    write(made.files(), folder)
    path.with_suffix(".changes").write_text(f"{made}\n")


CAMPAIGN = Campaign(
    mutant,
    attempt,
    Limits(cpu_seconds=CPU_SECONDS, seconds=SECONDS, memory_bytes=MEMORY_BYTES),
    apart=True,
    smaller=smaller,
    store=store,
    block=250,
    prepare=bases,
)
