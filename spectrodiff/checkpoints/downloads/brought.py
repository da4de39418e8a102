"""Models that were brought by hand: checked, and put into the cache under a published name."""

import shutil
import zipfile
from pathlib import Path

from spectrodiff.checkpoints.downloads.archive import unpack
from spectrodiff.checkpoints.downloads.cache import alone, scratch_folder
from spectrodiff.checkpoints.downloads.checksums import check_file
from spectrodiff.checkpoints.downloads.received import Fetched, Received
from spectrodiff.checkpoints.downloads.sources import Source
from spectrodiff.checkpoints.folders import read_folder, unwrapped
from spectrodiff.checkpoints.layouts.ports import INVERTER
from spectrodiff.checkpoints.layouts.t5x import FILE_NAME
from spectrodiff.checkpoints.layouts.table import LAYOUTS, needed_files
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.core.errors import CheckpointError, OutputError
from spectrodiff.core.files import atomic_folder
from spectrodiff.models.config import SIZES

# Sizes by which the published networks differ.
_SIZES = ("width", "heads", "head_width", "mlp_width", "encoder_layers", "decoder_layers")


def bring(source: Source, path: Path, cache: Path | None = None) -> Fetched:
    """Puts a folder or a zip archive with a model into the cache, where its name finds it.

    The model is read completely before, and its size and the checksums of its files are compared
    with what is published under this name.

    Args:
        source: result of `find_source`: the name that the model gets.
        path: folder in a published layout, or zip archive of one.
        cache: folder for downloads; `cache_folder()` if None.

    Raises:
        CheckpointError: if there is no model, it is damaged, or it is not the one of this name.
        OutputError: if the cache is not writable, or already has the model.
    """
    place = source.place(cache)
    with alone(place):
        if place.exists():
            raise OutputError(place, "no earlier copy of the model", "one; remove it to replace it")
        scratch = scratch_folder(place)
        files = _model_files(_opened(path, scratch / "archive"))
        with atomic_folder(scratch / "model") as partial:
            received = tuple(_copy(file, name, partial, source) for name, file in files.items())
            _check_model(source, read_folder(partial), path)
        (scratch / "model").replace(place)
    return Fetched(place, received)


def _opened(path: Path, unpacked: Path) -> Path:
    """Returns the folder, or that to which the contents of the archive have been unpacked."""
    if path.is_dir():
        return path
    if zipfile.is_zipfile(path):
        unpack(path, unpacked, str(path))
        return unpacked
    got = "another file or a damaged archive" if path.exists() else "no such file or folder"
    raise CheckpointError(path, "a folder with a model, or a zip archive of one", got)


def _model_files(path: Path) -> dict[str, Path]:
    """Returns the files of the model in a folder, with their names in the layout."""
    for folder in unwrapped(path):
        # A T5X checkpoint may be given by the folder of its step.
        start = folder.parent if (folder / FILE_NAME).is_file() else folder
        files = {
            file.relative_to(start).as_posix(): file
            for file in sorted(start.rglob("*"))
            if file.is_file()
        }
        if wanted := needed_files(list(files)):
            return {name: files[name] for name in wanted}
    signs = ", ".join(layout.sign for layout in LAYOUTS)
    expected = f"a folder with a model as it is published ({signs})"
    raise CheckpointError(path, expected, "none of these files")


def _copy(file: Path, name: str, folder: Path, source: Source) -> Received:
    published = source.published
    sums = {one.name: one.sha256 for one in published.files if one.sha256} if published else {}
    checked = check_file(file, str(file), {"sha256": sums[name]} if name in sums else {})
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
    return Received(name, target.stat().st_size, checked)


def _check_model(source: Source, checkpoint: Checkpoint, path: Path) -> None:
    """Compares a model with the published one of its name, if there is one."""
    if source.published is None:
        return
    published = SIZES[source.published.size]
    for name in _SIZES:
        expected, got = getattr(published, name), getattr(checkpoint.config, name)
        if got != expected:
            raise CheckpointError(path, f"{source.name}, whose {name} is {expected}", str(got))
    if source.published.inverter and checkpoint.inverter is None:
        raise CheckpointError(path, f"{source.name} with its inverter {INVERTER}", "no such file")
