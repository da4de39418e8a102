"""Downloads of models from the Hugging Face Hub."""

from collections.abc import Sequence
from pathlib import Path

from spectrodiff.checkpoints.layouts.table import LAYOUTS
from spectrodiff.core.errors import CheckpointError, first_line


def fetch_from_hub(
    repository: str,
    revision: str | None = None,
    *,
    cache: Path | None = None,
    endpoint: str | None = None,
) -> Path:
    """Returns a folder with the model in a repository, downloaded if necessary.

    Without a connection, an earlier download is used.

    Args:
        repository: "owner/name".
        revision: branch, tag or commit; the main branch if None.
        cache: folder for downloads; the Hub client's own cache if None.
        endpoint: address of the Hub; the public one if None.

    Raises:
        CheckpointError: if the repository is not accessible, or contains no model.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    name = repository + (f"@{revision}" if revision else "")
    api = HfApi(endpoint=endpoint)
    by_hand = f"alternatively download {api.endpoint}/{repository} by hand and give the folder"
    try:
        # `list_repo_files` would take half a minute to fail without a network.
        about = api.model_info(repository, revision=revision)
        files = [file.rfilename for file in about.siblings or []]
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise CheckpointError(
            name,
            "a local folder, or a repository on the Hub that you can read",
            "neither (for a private repository: hf auth login)",
        ) from None
    except Exception as error:  # the client's HTTP library, and its exceptions, may change
        if cached := _cached(repository, revision, cache):
            if any(layout.find(cached) for layout in LAYOUTS):
                return cached
            got = "an incomplete one in the cache; a connection is needed to complete it"
            raise CheckpointError(name, "a complete download", got) from None
        got = f"{first_line(error)}; {by_hand}"
        raise CheckpointError(name, "a connection to the Hub", got) from None
    wanted = needed_files(files)
    if not wanted:
        raise CheckpointError(name, "a repository with a model at its top level", "one without")
    try:
        folder = snapshot_download(
            repository,
            revision=revision,
            cache_dir=cache,
            endpoint=endpoint,
            allow_patterns=wanted,
        )
    except Exception as error:  # as above
        got = f"{first_line(error)}; {by_hand}"
        raise CheckpointError(name, "a download from the Hub", got) from None
    return Path(folder)


def needed_files(files: Sequence[str]) -> list[str]:
    """Returns the files of a repository that belong to a model, in the first layout that it has."""
    return next(filter(None, (layout.select(files) for layout in LAYOUTS)), [])


def _cached(repository: str, revision: str | None, cache: Path | None) -> Path | None:
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
