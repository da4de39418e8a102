"""Downloads models from the Hugging Face Hub."""

import re
from collections.abc import Sequence
from pathlib import Path

from spectrodiff.checkpoints import ports, store
from spectrodiff.errors import CheckpointError

# The files that say how a model is built; a repository has at least one of them.
_SETTINGS = [
    store.SETTINGS,
    "config.gin",
    "model_index.json",
    ports.SCHEDULER,
    *(f"{network}/config.json" for network in ports.NETWORKS),
]
_WHOLE = [*_SETTINGS, store.WEIGHTS, store.INVERTER, ports.INVERTER]
_T5X_STEP = re.compile(r"checkpoint_\d+/.+")


def fetch_from_hub(
    repository: str, revision: str | None = None, endpoint: str | None = None
) -> Path:
    """Returns a folder with the model in a repository, downloaded if need be.

    The cache is the Hub client's own; without a connection, what is in it is used.

    Args:
        repository: "owner/name".
        revision: a branch, a tag or a commit; the main branch if None.
        endpoint: address of the Hub, if it is not the usual one.

    Raises:
        CheckpointError: if the repository cannot be had, or holds no model.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    subject = repository + (f"@{revision}" if revision else "")
    try:
        files = HfApi(endpoint=endpoint).list_repo_files(repository, revision=revision)
        wanted = needed_files(files)
        if not wanted:
            raise CheckpointError(subject, "a repository with a model", "none of its files")
        return Path(
            snapshot_download(
                repository, revision=revision, endpoint=endpoint, allow_patterns=wanted
            )
        )
    except CheckpointError:
        raise
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise CheckpointError(
            subject,
            "a folder here, or a repository on the Hub that may be read",
            "neither (a private one needs `hf auth login`)",
        ) from None
    except Exception as error:  # of the HTTP library that the client happens to be built on
        cached = _cached(repository, revision)
        if cached is None:
            raise CheckpointError(
                subject,
                "a connection to the Hub",
                f"{_first_line(error)} (without: fetch the files elsewhere, then give the folder)",
            ) from None
        return cached


def needed_files(files: Sequence[str]) -> list[str]:
    """Returns those of a repository's files that make up a model, each weight only once."""
    wanted = [file for file in files if file in _WHOLE or _T5X_STEP.fullmatch(file)]
    for network in ports.NETWORKS:
        weights = (f"{network}/{name}" for name in ports.DIFFUSERS_FILES + ports.PADDLE_FILES)
        wanted += [file for file in weights if file in files][:1]
    return wanted


def _cached(repository: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        # Whether the weights are all there is for the reader to find out: it says what is missing.
        return Path(
            snapshot_download(
                repository, revision=revision, allow_patterns=_SETTINGS, local_files_only=True
            )
        )
    except (LocalEntryNotFoundError, ValueError):
        return None


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0] or type(error).__name__
