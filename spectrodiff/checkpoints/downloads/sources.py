"""Sources of models: names, addresses and Hub ids, and their places in the cache."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from spectrodiff.checkpoints.downloads.addresses import shown
from spectrodiff.checkpoints.downloads.catalogue import (
    CATALOGUE,
    HUB,
    PADDLE,
    PADDLE_PREFIX,
    RELEASE,
    Kind,
    Published,
    PublishedFile,
)
from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.files import cache_folder

_ID = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>\w[\w./-]*))?")
_SCHEME = re.compile("https?://", re.IGNORECASE)
_ENDPOINTS = {"zip": RELEASE, "paddle": PADDLE, "hub": HUB}


class UnknownModelError(CheckpointError):
    """Model that is not at its address, or is private."""


@dataclass(frozen=True)
class Source:
    """Place that a model is downloaded from.

    Attributes:
        name: as the user wrote it.
        kind: "zip", "folder" or "paddle" (single files below an address), or "hub".
        address: public address of the archive, the folder (ending in a slash) or the repository.
        repository: Hub id without revision; empty for other kinds.
        revision: revision of a Hub repository; None for its main branch.
    """

    name: str
    kind: Kind
    address: str
    repository: str = ""
    revision: str | None = None

    @property
    def published(self) -> Published | None:
        """Entry of the catalogue; None for a model or a revision that is not in it."""
        if self.revision is not None:
            return None
        entries = (entry for entry in CATALOGUE.values() if entry.address == self.address)
        return next(entries, None)

    @property
    def license(self) -> str:
        """License of the weights as far as known."""
        return self.published.license if self.published else "unknown"

    def at(self, endpoint: str | None) -> str:
        """Returns the address below another endpoint than the public one, such as a mirror's."""
        public = _ENDPOINTS.get(self.kind)
        if endpoint is None or public is None or not self.address.startswith(f"{public}/"):
            return self.address
        return endpoint.rstrip("/") + self.address.removeprefix(public)

    def place(self, cache: Path | None = None) -> Path:
        """Returns the folder of the model in a cache, `cache_folder()` if None."""
        key = f"hub:{self.name}" if self.kind == "hub" else self.address
        address = shown(self.address).partition("?")[0]
        last = address.rstrip("/").rpartition("/")[2].removesuffix(".zip")
        stem = re.sub(r"\W+", "-", last)[:40]
        # Bytes of the command line that are no text are surrogates here.
        digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
        return (cache or cache_folder()) / f"{stem}-{digest[:8]}"


def find_source(name: str) -> Source | None:
    """Returns the source of a model by a published name, an address or a Hub id.

    Addresses of folders end in a slash, or in a name without a dot. All others are archives.

    Args:
        name: as for `open_checkpoint`.
    """
    if name.startswith(PADDLE_PREFIX):
        match = _ID.fullmatch(name.removeprefix(PADDLE_PREFIX))
        if not match or match["revision"]:
            return None
        return Source(name, "paddle", f"{PADDLE}/{match['repository']}/")
    if (published := CATALOGUE.get(name)) and published.kind == "zip":
        return Source(name, "zip", published.address)
    if scheme := _SCHEME.match(name):
        return _of_address(name, scheme[0].lower() + name[scheme.end() :])
    if match := _ID.fullmatch(name):
        repository = match["repository"]
        return Source(name, "hub", f"{HUB}/{repository}", repository, match["revision"])
    return None


def by_hand(source: Source, cache: Path | None = None) -> str:
    """Returns advice for a machine without a network: what to bring, and where to put it."""
    published = source.published
    files = published.files if published else ()
    if source.kind == "zip":
        what = shown(source.address) + "".join(_size(file) for file in files)
    elif files:
        listed = ", ".join(f"{file.name}{_size(file)}" for file in files if file.needed)
        what = f"into one folder the files {listed} of {shown(file_address(source))}"
    else:
        what = f"the files of {shown(source.address)} in one folder"
    name, place = shown(source.name), source.place(cache)
    return (
        f"without a network: bring {what}, then run spectrodiff fetch {name} --from PATH, "
        f"which keeps the model in {place}"
    )


def file_address(source: Source) -> str:
    """Returns the address to which the names of single files are appended."""
    if source.kind == "hub":
        return f"{source.address}/resolve/{source.revision or 'main'}/"
    return source.address


def _of_address(name: str, url: str) -> Source:
    try:
        parts = urlsplit(url)
    except ValueError:  # no address at all, as its download will say
        return Source(name, "zip", url)
    last = parts.path.rpartition("/")[2]
    if parts.query or parts.fragment or not parts.path.strip("/") or "." in last:
        return Source(name, "zip", url)
    folder = url.rstrip("/") + "/"
    if folder.startswith(f"{PADDLE}/"):
        # The same files as by name, so that they are stored once.
        return Source(name, "paddle", folder)
    return Source(name, "folder", folder)


def _size(file: PublishedFile) -> str:
    if file.megabytes is None:
        return " (size unknown)"
    return f" ({file.megabytes:g} MB)" if file.megabytes >= 1 else ""
