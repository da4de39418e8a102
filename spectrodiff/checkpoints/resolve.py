"""Models by the names that a user gives."""

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from spectrodiff.checkpoints.bundled import UNTRAINED, bundled_models
from spectrodiff.checkpoints.download import fetch_zip
from spectrodiff.checkpoints.hub import fetch_from_hub
from spectrodiff.checkpoints.layouts.ports import (
    find_diffusers,
    find_paddle,
    import_diffusers,
    import_paddle,
)
from spectrodiff.checkpoints.layouts.store import find_model, load_model
from spectrodiff.checkpoints.layouts.t5x import find_t5x, import_t5x
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.run_folder import SETTINGS, find_run, import_run
from spectrodiff.core.errors import CheckpointError
from spectrodiff.diffusion.sampling import FEW_STEPS
from spectrodiff.models.config import SIZES
from spectrodiff.models.definition import init_params
from spectrodiff.models.denoiser import Denoiser


class Layout(NamedTuple):
    """File layout of models.

    Attributes:
        sign: file that identifies the layout, for error messages.
        find: returns the folder of the model in a given folder, or None.
        read: reads the model from that folder.
    """

    sign: str
    find: Callable[[Path], Path | None]
    read: Callable[[Path], Checkpoint]


# The first layout that is found in a folder is read. A new layout is one more line.
LAYOUTS = (
    Layout("model.json", find_model, load_model),
    Layout(f"{SETTINGS} (training run)", find_run, import_run),
    Layout("checkpoint_STEP/checkpoint (T5X)", find_t5x, import_t5x),
    Layout("decoder/*.safetensors or *.bin (diffusers)", find_diffusers, import_diffusers),
    Layout("decoder/*.pdparams (Paddle)", find_paddle, import_paddle),
)

_RELEASE = (
    "https://storage.googleapis.com/music-synthesis-with-spectrogram-diffusion/checkpoints/{}.zip"
)
RELEASED: Mapping[str, str] = {
    name: _RELEASE.format(name) for name in ("small_with_context", "base_with_context")
}

_HUB_ID = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>\w[\w./-]*))?")
# Archives may wrap their contents in up to this number of nested folders.
MAX_WRAPPERS = 2


def open_checkpoint(
    name: str | os.PathLike[str], *, cache: Path | None = None, hub_endpoint: str | None = None
) -> Checkpoint:
    """Reads a model from a folder, from the package, or from the network.

    Args:
        name: in this order of precedence: a folder in any layout (or a file in it), the name of a
            bundled or released model or "untrained", the URL of a zip archive of such a folder, or
            a repository of the Hugging Face Hub, "owner/name" or "owner/name@revision".
        cache: folder for downloads; by default $SPECTRODIFF_CACHE or ~/.cache/spectrodiff for
            archives, and the Hub client's own cache for repositories.
        hub_endpoint: address of the Hub; the public one if None.

    Raises:
        CheckpointError: if there is no such model, or it is invalid.
        OutputError: if a download cannot be written.
    """
    text = os.fspath(name)
    short = text if "://" in text else os.path.basename(os.path.normpath(text)) or text
    return dataclasses.replace(_open(text, cache, hub_endpoint), name=short)


def _open(text: str, cache: Path | None, hub_endpoint: str | None) -> Checkpoint:
    path = os.path.expanduser(text)
    if os.path.exists(path):  # unlike Path.exists, False for invalid paths
        return read_folder(Path(path))
    if text == UNTRAINED:
        return Checkpoint(
            SIZES["tiny"],
            init_params(Denoiser, SIZES["tiny"], seed=0),
            sampling=FEW_STEPS,
            layout="untrained",
        )
    if text in (bundled := bundled_models()):
        return read_folder(bundled[text])
    url = RELEASED.get(text, text)
    if url.startswith(("http://", "https://")):
        return read_folder(fetch_zip(url, cache))
    if match := _HUB_ID.fullmatch(text):
        repository, revision = match["repository"], match["revision"]
        return read_folder(fetch_from_hub(repository, revision, cache=cache, endpoint=hub_endpoint))
    names = ", ".join([UNTRAINED, *bundled, *RELEASED])
    raise CheckpointError(
        text,
        f"a folder with a model, one of the names {names}, the http(s) URL of a zip archive, or a "
        "Hub repository as owner/name or owner/name@revision",
        "none of these",
    )


def read_folder(path: Path) -> Checkpoint:
    """Reads a model from a folder in any of the `LAYOUTS`.

    Raises:
        CheckpointError: if it is in none of them, or invalid.
    """
    try:
        for folder in _folders(path):
            for layout in LAYOUTS:
                if found := layout.find(folder):
                    return layout.read(found)
    except OSError as error:
        raise CheckpointError(path, "a readable folder", error.strerror or str(error)) from None
    signs = ", ".join(layout.sign for layout in LAYOUTS)
    raise CheckpointError(path, f"a folder with a model, which contains one of {signs}", "none")


def _folders(path: Path) -> Iterator[Path]:
    """Yields the folder itself and, if its only content is a folder, that one, and so on."""
    if path.is_file():
        path = path.parent
    for _ in range(MAX_WRAPPERS + 1):
        yield path
        inner = [child for child in path.iterdir() if not child.name.startswith((".", "__"))]
        if len(inner) != 1 or not inner[0].is_dir():
            return
        path = inner[0]
