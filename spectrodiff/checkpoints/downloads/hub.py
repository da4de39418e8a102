"""Downloads of models from the Hugging Face Hub."""

from pathlib import Path
from typing import NamedTuple

from spectrodiff.checkpoints.downloads.addresses import shown
from spectrodiff.checkpoints.downloads.checksums import check_download
from spectrodiff.checkpoints.downloads.received import Fetched, Received
from spectrodiff.checkpoints.downloads.sources import UnknownModelError
from spectrodiff.checkpoints.downloads.transfer import ServerError, announce, total_size
from spectrodiff.checkpoints.layouts.table import has_model, needed_files
from spectrodiff.core.errors import CheckpointError, first_line


class _Listed(NamedTuple):
    """File of a repository; size and checksum are those of the Hub, None if it has none."""

    size: int | None
    sha256: str | None


def fetch_from_hub(
    repository: str,
    revision: str | None = None,
    *,
    cache: Path | None = None,
    endpoint: str | None = None,
) -> Fetched:
    """Returns a folder with the model in a repository, downloaded if necessary.

    Downloads are compared with the SHA-256 that the Hub publishes for large files. Without a
    connection, an earlier download is used.

    Args:
        repository: "owner/name".
        revision: branch, tag or commit; the main branch if None.
        cache: folder for downloads; the Hub client's own cache if None.
        endpoint: address of the Hub; the public one if None.

    Raises:
        CheckpointError: if the repository is not accessible, contains no model, or a file is
            damaged.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    name = repository + (f"@{revision}" if revision else "")
    api = HfApi(endpoint=endpoint)
    try:
        # `list_repo_files` would take half a minute to fail without a network.
        about = api.model_info(repository, revision=revision, files_metadata=True)
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise UnknownModelError(
            name,
            "a local folder, or a repository on the Hub that you can read",
            "neither (for a private repository: hf auth login)",
        ) from None
    except Exception as error:  # the client's HTTP library, and its exceptions, may change
        if cached := cached_folder(repository, revision, cache):
            if has_model(cached):
                return Fetched(cached, already=True)
            got = "an incomplete one in the cache; a connection is needed to complete it"
            raise CheckpointError(name, "a complete download", got) from None
        raise ServerError(name, "a connection to the Hub", shown(first_line(error))) from None
    listed = {
        file.rfilename: _Listed(file.size, file.lfs.sha256 if file.lfs else None)
        for file in about.siblings or []
    }
    wanted = needed_files(list(listed))
    if not wanted:
        raise CheckpointError(name, "a repository with a model at its top level", "one without")
    license = str(getattr(about.card_data, "license", None) or "")
    new = [file for file in wanted if not _is_cached(repository, file, about.sha, cache)]
    if new:
        size = total_size([listed[file].size for file in new])
        announce(name, size, shown(f"{api.endpoint}/{repository}"), license or "unknown")
    try:
        folder = Path(
            snapshot_download(
                repository,
                revision=revision,
                cache_dir=cache,
                endpoint=endpoint,
                allow_patterns=wanted,
            )
        )
    except Exception as error:  # as above
        raise ServerError(name, "a download from the Hub", shown(first_line(error))) from None
    received = tuple(_check(folder, name, file, listed[file].sha256) for file in new)
    return Fetched(folder, received, not new, license)


def cached_folder(repository: str, revision: str | None, cache: Path | None) -> Path | None:
    """Returns the folder of an earlier download, possibly an incomplete one; None without one."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        # Without the list of files, the needed ones are unknown; the reader reports missing ones.
        return Path(
            snapshot_download(
                repository,
                revision=revision,
                cache_dir=cache,
                allow_patterns=[],
                local_files_only=True,
            )
        )
    except (LocalEntryNotFoundError, ValueError):
        return None


def _is_cached(repository: str, file: str, commit: str | None, cache: Path | None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file, cache_dir=cache, revision=commit)
    return isinstance(found, str)


def _check(folder: Path, name: str, file: str, sha256: str | None) -> Received:
    """Compares a downloaded file with its checksum, and removes it if it has another."""
    path = folder / file
    checked = check_download(path, f"{name}/{file}", {"sha256": sha256} if sha256 else {})
    # The client compares the length of every file that it downloads.
    return Received(file, path.stat().st_size, checked or "size")
