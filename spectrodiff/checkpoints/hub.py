"""Downloads models from the Hugging Face Hub."""

import re
from collections.abc import Sequence
from pathlib import Path

from spectrodiff.checkpoints.layouts import ports, store
from spectrodiff.core.errors import CheckpointError

# The files that say how a model is built; a repository has at least one of them.
_SETTINGS = [
    store.SETTINGS,
    "config.gin",
    "model_index.json",
    ports.SCHEDULER,
    *(f"{network}/config.json" for network in ports.NETWORKS),
]
_WHOLE = [*_SETTINGS, store.WEIGHTS, store.INVERTER, ports.INVERTER]
_T5X_STEP = re.compile(r"checkpoint_[0-9]+/.+")


def fetch_from_hub(
    repository: str,
    revision: str | None = None,
    *,
    cache: Path | None = None,
    endpoint: str | None = None,
) -> Path:
    """Returns a folder with the model in a repository, downloaded if need be.

    Without a connection, what was downloaded before is used.

    Args:
        repository: "owner/name".
        revision: a branch, a tag or a commit; the main branch if None.
        cache: where downloads are kept; the Hub client's own cache if None.
        endpoint: address of the Hub, if it is not the usual one.

    Raises:
        CheckpointError: if the repository cannot be had, or holds no model.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    name = repository + (f"@{revision}" if revision else "")
    api = HfApi(endpoint=endpoint)
    by_hand = f"otherwise fetch {api.endpoint}/{repository} by hand and give the folder"
    try:
        # Not `list_repo_files`, which takes half a minute to find out that there is no network.
        about = api.model_info(repository, revision=revision)
        files = [file.rfilename for file in about.siblings or []]
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise CheckpointError(
            name,
            "a folder here, or a repository on the Hub that you may read",
            "neither (for a private one: hf auth login)",
        ) from None
    except Exception as error:  # of the HTTP library that the client happens to be built on
        if cached := _cached(repository, revision, cache):
            return cached
        got = f"{_first_line(error)}; {by_hand}"
        raise CheckpointError(name, "a connection to the Hub", got) from None
    wanted = needed_files(files)
    if not wanted:
        raise CheckpointError(name, "a repository with a model", "one without")
    try:
        folder = snapshot_download(
            repository,
            revision=revision,
            cache_dir=cache,
            endpoint=endpoint,
            allow_patterns=wanted,
        )
    except Exception as error:  # as above
        got = f"{_first_line(error)}; {by_hand}"
        raise CheckpointError(name, "a download from the Hub", got) from None
    return Path(folder)


def needed_files(files: Sequence[str]) -> list[str]:
    """Returns those of a repository's files that make up a model, each weight only once."""
    wanted = [file for file in files if file in _WHOLE or _T5X_STEP.fullmatch(file)]
    for network in ports.NETWORKS:
        weights = (f"{network}/{name}" for name in ports.DIFFUSERS_FILES + ports.PADDLE_FILES)
        wanted += [file for file in weights if file in files][:1]
    return wanted


def _cached(repository: str, revision: str | None, cache: Path | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        # Whether the weights are all there is for the reader to find out: it says what is missing.
        return Path(
            snapshot_download(
                repository,
                revision=revision,
                cache_dir=cache,
                allow_patterns=_SETTINGS,
                local_files_only=True,
            )
        )
    except (LocalEntryNotFoundError, ValueError):
        return None


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0] or type(error).__name__
