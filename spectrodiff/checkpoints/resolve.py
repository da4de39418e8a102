"""Opening of models by name, folder, URL or Hub id."""

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from spectrodiff.checkpoints.bundled import UNTRAINED, bundled_models
from spectrodiff.checkpoints.download import fetch_zip
from spectrodiff.checkpoints.hub import fetch_from_hub
from spectrodiff.checkpoints.layouts.table import LAYOUTS
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.core.errors import CheckpointError
from spectrodiff.diffusion.sampling import FEW_STEPS
from spectrodiff.models.config import SIZES
from spectrodiff.models.definition import init_params
from spectrodiff.models.denoiser import Denoiser

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

    Returns:
        Parameters and settings, the same from every layout.

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
