"""Reading of models from folders, in any of the known layouts."""

from collections.abc import Iterator
from pathlib import Path

from spectrodiff.checkpoints.layouts.table import LAYOUTS, Layout
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.core.errors import CheckpointError, first_line

# Archives may wrap their contents in up to this number of nested folders.
MAX_WRAPPERS = 2


def read_folder(path: Path) -> Checkpoint:
    """Reads a model from a folder in any of the `LAYOUTS`.

    Raises:
        CheckpointError: if it is in none of them, or invalid.
    """
    try:
        layout, folder = find_layout(path)
        return layout.read(folder)
    except OSError as error:
        raise CheckpointError(path, "a readable folder", first_line(error)) from None


def find_layout(path: Path) -> tuple[Layout, Path]:
    """Returns the layout of a model in a folder, and the folder that this layout reads.

    Args:
        path: folder, or a file in it; it may wrap the model in up to two nested folders.

    Raises:
        CheckpointError: if there is no model in any layout.
        OSError: if a folder cannot be read.
    """
    for folder in unwrapped(path):
        for layout in LAYOUTS:
            if found := layout.find(folder):
                return layout, found
    signs = ", ".join(layout.sign for layout in LAYOUTS)
    raise CheckpointError(path, f"a folder with a model, which contains one of {signs}", "none")


def unwrapped(path: Path) -> Iterator[Path]:
    """Yields the folder itself and, if its only content is a folder, that one, and so on."""
    if path.is_file():
        path = path.parent
    for _ in range(MAX_WRAPPERS + 1):
        yield path
        inner = [child for child in path.iterdir() if not child.name.startswith((".", "__"))]
        if len(inner) != 1 or not inner[0].is_dir():
            return
        path = inner[0]
