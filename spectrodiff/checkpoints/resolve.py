"""Opening of models by name, folder, URL or Hub id."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from spectrodiff.checkpoints.bundled import UNTRAINED, bundled_models
from spectrodiff.checkpoints.downloads.addresses import shown
from spectrodiff.checkpoints.downloads.catalogue import CATALOGUE
from spectrodiff.checkpoints.downloads.fetch import fetch
from spectrodiff.checkpoints.downloads.received import Fetched
from spectrodiff.checkpoints.downloads.sources import Source, UnknownModelError, find_source
from spectrodiff.checkpoints.downloads.transfer import ServerError
from spectrodiff.checkpoints.folders import read_folder
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.suggestions import beside, did_you_mean
from spectrodiff.diffusion.sampling import FEW_STEPS
from spectrodiff.models.config import SIZES
from spectrodiff.models.definition import init_params
from spectrodiff.models.denoiser import Denoiser


def open_checkpoint(
    name: str | os.PathLike[str],
    *,
    cache: Path | None = None,
    hub_endpoint: str | None = None,
    paddle_endpoint: str | None = None,
) -> Checkpoint:
    """Reads a model from a folder, from the package, or from the network.

    Args:
        name: in this order of precedence: a folder in any layout (or a file in it), the name of a
            bundled or released model or "untrained", a model of the Paddle project,
            "paddle:owner/name", the URL of a zip archive of such a folder or of the folder itself
            (ending in a slash, or in a name without a dot), or a repository of the Hugging Face
            Hub, "owner/name" or "owner/name@revision".
        cache: folder for downloads; by default $SPECTRODIFF_CACHE or ~/.cache/spectrodiff, and the
            Hub client's own cache for repositories.
        hub_endpoint: address of the Hub; the public one if None.
        paddle_endpoint: address below which the Paddle models lie as owner/name; the public one
            if None.

    Returns:
        Parameters and settings, the same from every layout.

    Raises:
        CheckpointError: if there is no such model, or it is invalid.
        OutputError: if a download cannot be written.
    """
    text = os.fspath(name)
    short = shown(text) if "://" in text else os.path.basename(os.path.normpath(text)) or text
    endpoints = {"hub": hub_endpoint, "paddle": paddle_endpoint}
    return dataclasses.replace(_open(text, cache, endpoints), name=short)


def fetch_model(text: str, *, cache: Path | None = None, endpoint: str | None = None) -> Fetched:
    """Returns a folder with a model that is not on this machine, downloaded if necessary.

    Args:
        text: published name, address or Hub id, as for `open_checkpoint`.
        cache: as for `open_checkpoint`.
        endpoint: address of a mirror, as for `fetch`.

    Raises:
        CheckpointError: if there is no such model, or it cannot be downloaded.
        OutputError: if the download cannot be written.
    """
    try:
        return fetch(model_source(text), cache=cache, endpoint=endpoint)
    except (UnknownModelError, ServerError) as error:
        raise CheckpointError(error.subject, error.expected, error.got + _near(text)) from None


def model_source(text: str) -> Source:
    """Returns the source of a model that is not on this machine.

    Raises:
        CheckpointError: if it is neither a published name nor an address nor a Hub id.
    """
    if source := find_source(text):
        return source
    raise CheckpointError(
        shown(text),
        f"a folder with a model, one of the names {', '.join(_names())}, the http(s) URL of a zip "
        "archive or of a folder, or a Hub repository as owner/name or owner/name@revision",
        f"none of these{_near(text)}",
    )


def _names() -> list[str]:
    return [UNTRAINED, *bundled_models(), *CATALOGUE]


def _near(text: str) -> str:
    return did_you_mean(text, [*_names(), *beside(text)])


def _open(text: str, cache: Path | None, endpoints: Mapping[str, str | None]) -> Checkpoint:
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
    endpoint = endpoints.get(model_source(text).kind)
    return read_folder(fetch_model(text, cache=cache, endpoint=endpoint).folder)
