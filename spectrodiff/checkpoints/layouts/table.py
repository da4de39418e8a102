"""All layouts that models are read from; a new one is one more line in `LAYOUTS`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from spectrodiff.checkpoints.layouts.ports import (
    diffusers_files,
    find_diffusers,
    find_paddle,
    import_diffusers,
    import_paddle,
    paddle_files,
)
from spectrodiff.checkpoints.layouts.store import find_model, load_model, model_files
from spectrodiff.checkpoints.layouts.t5x import find_t5x, import_t5x, t5x_files
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.run_folder import SETTINGS, find_run, import_run


class Layout(NamedTuple):
    """File layout of models.

    Attributes:
        sign: file that identifies the layout, for error messages.
        find: returns the folder of the model in a given folder, or None.
        read: reads the model from that folder.
        select: returns the files of a model among all files of a Hub repository; none if the
            repository is not in the layout.
    """

    sign: str
    find: Callable[[Path], Path | None]
    read: Callable[[Path], Checkpoint]
    select: Callable[[Sequence[str]], list[str]]


def _none(files: Sequence[str]) -> list[str]:
    del files  # runs are not published
    return []


# The first layout that is found in a folder or a repository is read.
LAYOUTS = (
    Layout("model.json", find_model, load_model, model_files),
    Layout(f"{SETTINGS} (training run)", find_run, import_run, _none),
    Layout("checkpoint_STEP/checkpoint (T5X)", find_t5x, import_t5x, t5x_files),
    Layout(
        "decoder/*.safetensors or *.bin (diffusers)",
        find_diffusers,
        import_diffusers,
        diffusers_files,
    ),
    Layout("decoder/*.pdparams (Paddle)", find_paddle, import_paddle, paddle_files),
)


def has_model(folder: Path) -> bool:
    """Returns True if a folder has a model in one of the layouts."""
    return any(layout.find(folder) for layout in LAYOUTS)


def needed_files(files: Sequence[str]) -> list[str]:
    """Returns the files that belong to a model, in the first layout that they have.

    Args:
        files: paths of all files of a repository or folder, with slashes.
    """
    return next(filter(None, (layout.select(files) for layout in LAYOUTS)), [])
