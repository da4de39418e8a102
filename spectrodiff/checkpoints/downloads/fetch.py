"""Models by name, address or Hub id: downloaded, or brought by hand, into the cache."""

from pathlib import Path

from spectrodiff.checkpoints.downloads.addresses import shown
from spectrodiff.checkpoints.downloads.archive import fetch_zip
from spectrodiff.checkpoints.downloads.cache import MEGABYTE, alone, check_space
from spectrodiff.checkpoints.downloads.hub import cached_folder, fetch_from_hub
from spectrodiff.checkpoints.downloads.received import Fetched
from spectrodiff.checkpoints.downloads.single_files import fetch_files, list_files
from spectrodiff.checkpoints.downloads.sources import Source, UnknownModelError, by_hand
from spectrodiff.checkpoints.downloads.transfer import (
    Meter,
    ServerError,
    announce,
    look_up,
    total_size,
)
from spectrodiff.checkpoints.layouts.table import has_model


def fetch(source: Source, *, cache: Path | None = None, endpoint: str | None = None) -> Fetched:
    """Returns a folder with a model, downloaded if necessary.

    Before a download, its size, address and license are logged. An interrupted download is resumed.
    Of several processes that need the same model, one downloads it and the others wait.

    Args:
        source: result of `find_source`.
        cache: folder for downloads; by default `cache_folder()`, and the Hub client's own cache for
            repositories.
        endpoint: address of a mirror that takes the place of the public one: of the Hub, of the
            Paddle models (`PADDLE`) or of the released archives (`RELEASE`).

    Raises:
        CheckpointError: if the model cannot be downloaded, or is damaged.
        OutputError: if the cache is not writable, or has not enough space.
    """
    place = source.place(cache)
    if place.is_dir():
        return Fetched(place, already=True)
    try:
        if source.kind == "hub":
            return fetch_from_hub(
                source.repository, source.revision, cache=cache, endpoint=endpoint
            )
        with alone(place):
            if place.is_dir():
                return Fetched(place, already=True)
            return _download(source, source.at(endpoint), place, arrived_bytes(source, cache))
    except (ServerError, UnknownModelError) as error:
        if isinstance(error, UnknownModelError) and not source.published:
            raise
        arrived = arrived_bytes(source, cache) / MEGABYTE
        again = f"; {arrived:,.1f} MB have arrived, try again to continue" if arrived else ""
        got = f"{error.got}{again}; {by_hand(source, cache)}"
        raise type(error)(error.subject, error.expected, got) from None


def find_local(source: Source, cache: Path | None = None) -> Path | None:
    """Returns the folder of a model that is complete on this machine; None if it is not."""
    place = source.place(cache)
    if place.is_dir():
        return place
    if source.kind == "hub":
        folder = cached_folder(source.repository, source.revision, cache)
        if folder and has_model(folder):
            return folder
    return None


def arrived_bytes(source: Source, cache: Path | None = None) -> int:
    """Returns the bytes of an interrupted download; 0 for repositories, which the client keeps."""
    place = source.place(cache)
    partial = place.with_name(f"{place.name}.part")
    archive = [place.with_name(f"{place.name}{end}") for end in (".zip.part", ".zip")]
    files = [*archive, *partial.rglob("*")]
    return sum(
        file.stat().st_size for file in files if file.is_file() and file.suffix != ".version"
    )


def _download(source: Source, address: str, place: Path, arrived: int) -> Fetched:
    if source.kind == "zip":
        archive = look_up(address)
        total = archive.size if archive else None
    else:
        files = list_files(source, address)
        total = total_size([file.size for file in files.values()])
    name = shown(source.name)
    announce(name, total, shown(address), source.license)
    check_space(place.parent, (total or 0) - arrived)
    with Meter(f"downloading {name}", total) as meter:
        if source.kind == "zip":
            return fetch_zip(address, place, meter, archive)
        return fetch_files(files, place, meter)
