"""Results of downloads: a model in a folder, and its files."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Received:
    """File of a download.

    Attributes:
        name: path in the folder of the model, or name of the archive.
        size: length in bytes.
        checked: kind of the published checksum that it has: "sha256", "md5" or "crc32c"; "size" if
            only its length is published; None if not even that.
    """

    name: str
    size: int
    checked: str | None


@dataclass(frozen=True)
class Fetched:
    """Model in a folder of this machine.

    Attributes:
        folder: folder with the model.
        files: files that were downloaded, or brought by hand, just now.
        already: True if the model was there, so that nothing was done.
        license: license that the Hub states; empty for other sources, and without a connection.
    """

    folder: Path
    files: tuple[Received, ...] = ()
    already: bool = False
    license: str = ""
