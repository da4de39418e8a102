"""Uploads of models to the Hugging Face Hub, each as one commit."""

import logging
import re
from pathlib import Path

from spectrodiff.core.config import require
from spectrodiff.core.errors import ConfigError, OutputError, first_line

logger = logging.getLogger(__name__)

# As models are named to be loaded, and what git takes.
_REVISION = re.compile(r"\w[\w./-]*", re.ASCII)
_NO_REVISION = re.compile(r"\.\.|//|/\.|[./]$|\.lock(/|$)")
# Files of an earlier upload that a new one may not have.
REPLACED = ["samples/*", "training/*", "inverter.*"]


def check_repository(name: str) -> str:
    """Returns the name of a repository; ConfigError unless the Hub takes it as "owner/name"."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    expected = "owner/name, as in the addresses of the Hub"
    owner, _, own = name.partition("/")
    require(bool(owner and own), "repository", expected, name)
    try:
        validate_repo_id(name)
    except HFValidationError:
        rules = "letters of ASCII, digits, single - and . within, _; at most 96 each, no .git"
        raise ConfigError("repository", f"{expected} ({rules})", repr(name)) from None
    return name


def check_revision(name: str) -> str:
    """Returns the name of a branch; ConfigError unless git and the Hub take it."""
    possible = _REVISION.fullmatch(name) is not None and not _NO_REVISION.search(name)
    expected = "a branch such as main or v1.2: letters of ASCII, digits, _, and within . - /"
    require(possible, "revision", expected, name)
    return name


def check_token() -> None:
    """Checks that there is a token of the Hub.

    Raises:
        OutputError: if there is none; says how to get one.
    """
    from huggingface_hub import get_token

    if get_token() is None:
        got = "none (hf auth login, or the variable HF_TOKEN)"
        raise OutputError("Hugging Face Hub", "a token that may write", got)


def upload(
    folder: Path,
    repository: str,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str = "Upload a model of spectrodiff",
    endpoint: str | None = None,
) -> str:
    """Uploads a folder as one commit; makes the repository and the branch if necessary.

    Args:
        folder: folder to upload.
        repository: "owner/name".
        private: make a new repository private; an existing one has to be.
        revision: branch; the main branch if None.
        message: message of the commit.
        endpoint: address of the Hub; the public one if None.

    Returns:
        The address of the commit.

    Raises:
        ConfigError: if the name of the repository or of the branch is impossible.
        OutputError: if there is no token, it does not allow this, or there is no connection.
            Nothing of the model is then in the repository.
    """
    from huggingface_hub import HfApi

    check_repository(repository)
    if revision is not None:
        check_revision(revision)
    check_token()
    api = HfApi(endpoint=endpoint)
    try:
        api.create_repo(repository, private=private or None, exist_ok=True)
        if private and not api.model_info(repository).private:
            got = "a public one; make it private in its settings, or choose another"
            raise OutputError(repository, "a private repository", got)
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
        return str(
            api.upload_folder(
                repo_id=repository,
                folder_path=folder,
                revision=revision,
                commit_message=message,
                delete_patterns=REPLACED,
            ).commit_url
        )
    except OutputError:
        raise
    except Exception as error:  # the client's HTTP library, and its exceptions, may change
        expected, got = _explain(error)
        raise OutputError(f"{api.endpoint}/{repository}", expected, got) from None


def _explain(error: Exception) -> tuple[str, str]:
    """Returns phrases for what was expected, and what happened."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    match status:
        case 401:
            return "a valid token (hf auth login, or the variable HF_TOKEN)", "one that is refused"
        case 403:
            return "a token that may write here", f"no permission ({first_line(error)})"
        case 404:
            return "a repository that you can write to", "none of this name"
        case int():
            return "an upload that the Hub accepts", first_line(error)
    return "a connection to the Hub", first_line(error)
