"""Inverters as ONNX files, for programs that know no other kind."""

import contextlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from spectrodiff.checkpoints.bundled import bundled_inverter
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.extras import need_extra
from spectrodiff.core.files import temporary_folder, unwritable
from spectrodiff.inverter.config import RecurrentConfig
from spectrodiff.inverter.files import load_inverter, save_inverter
from spectrodiff.inverter.onnx_export import export_onnx

logger = logging.getLogger(__name__)

ONNX, SAFETENSORS = ".onnx", ".safetensors"


def find_inverter(checkpoint: Checkpoint, chosen: Path | None = None) -> Path | None:
    """Returns the inverter that goes with a model: a file or a run folder.

    Args:
        checkpoint: the model.
        chosen: the inverter to use; by default the model's own, else the bundled one.

    Raises:
        CheckpointError: if the one to use does not exist.
    """
    if chosen is not None and not chosen.exists():
        expected = f"an inverter ({ONNX} or {SAFETENSORS} file, or the folder of a run)"
        raise CheckpointError(chosen, expected, "no such file or folder")
    return chosen or checkpoint.inverter or bundled_inverter()


def store_inverter(inverter: Path, folder: Path) -> Path:
    """Stores an inverter as a file in a folder, and returns the file.

    Files are copied; the inverter of a run becomes a .safetensors file.

    Raises:
        CheckpointError: if it is invalid.
        OutputError: if it cannot be written.
    """
    if inverter.is_file() and inverter.suffix.lower() == ONNX:
        return _copied(inverter, folder / f"inverter{ONNX}")
    path = folder / f"inverter{SAFETENSORS}"
    stored = load_inverter(inverter)
    if inverter.is_file():
        return _copied(inverter, path)
    save_inverter(stored, path)
    return path


@contextlib.contextmanager
def stored_inverter(inverter: Path | None) -> Iterator[Path | None]:
    """Yields an inverter as a file, which exists within the block; None for None.

    Raises:
        CheckpointError: if it is invalid.
        OutputError: if it cannot be written.
    """
    if inverter is None:
        yield None
        return
    with temporary_folder() as temporary:
        yield store_inverter(inverter, temporary)


def store_as_onnx(inverter: Path, folder: Path) -> Path | None:
    """Stores an inverter as an ONNX file in a folder, and returns the file.

    Returns:
        None, with a warning, if it is of a kind that ONNX cannot hold.

    Raises:
        CheckpointError: if it is invalid.
        ConfigError: if the package onnx is not installed.
        OutputError: if it cannot be written.
    """
    path = folder / f"inverter{ONNX}"
    if inverter.is_file() and inverter.suffix.lower() == ONNX:
        return _copied(inverter, path)
    stored = load_inverter(inverter)
    if isinstance(stored.config, RecurrentConfig):
        logger.warning("the model is stored without its inverter: it is recurrent")
        return None
    need_extra("the inverter, which is stored as ONNX", "export")
    export_onnx(stored, path)
    return path


def _copied(source: Path, path: Path) -> Path:
    try:
        shutil.copyfile(source, path)
    except OSError as error:
        raise unwritable(path, error) from error
    return path
