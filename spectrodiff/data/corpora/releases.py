"""Published releases of the corpora: address, size, license, and checksums of the archives."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from spectrodiff.core.errors import CorpusError, first_line
from spectrodiff.core.files import open_regular
from spectrodiff.core.progress import Progress
from spectrodiff.data.corpora.folders import visible

_BLOCK_BYTES = 1 << 24
_MEGABYTE = 1_000_000
_MAX_NAMES = 3


@dataclasses.dataclass(frozen=True)
class Release:
    """Release of a corpus.

    Attributes:
        title: name and version.
        contents: phrase for the files and folders that are needed of it.
        page: address where it is published.
        size: sizes of the archives and of their contents, as far as they are published.
        license: license of audio and labels.
        checksums: checksum of each archive, such as "md5:0123..." by its file name; none if the
            publisher gives none.
    """

    title: str
    contents: str
    page: str
    size: str
    license: str
    checksums: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def published(self) -> str:
        """Address, size and license in one phrase."""
        return f"{self.page}; {self.size}; {self.license}"

    @property
    def expected(self) -> str:
        """Phrase for error messages."""
        return f"an unpacked {self.title} release with {self.contents} ({self.published})"

    def require(self, source: Path, names: Sequence[str] = ()) -> None:
        """Checks that a folder exists and has the given entries.

        Raises:
            CorpusError: names the first missing entry. For an archive of the release it tells
                whether the file has the published checksum, which takes minutes for a large one.
        """
        if source.is_file():
            raise CorpusError(source, self.expected, self._describe_file(source))
        if not source.is_dir():
            raise CorpusError(source, self.expected, "no such file or folder")
        for name in names:
            if not (source / name).exists():
                raise self.lacks(source, name)

    def lacks(self, source: Path, what: str) -> CorpusError:
        """Returns the error for a folder in which something is missing; tells what is in it."""
        names = [path.name for path in visible(source.iterdir())]
        if not names:
            return CorpusError(source, self.expected, "an empty folder")
        got = f"no {what} in it, only {', '.join(names[:_MAX_NAMES])}"
        if len(names) > _MAX_NAMES:
            got += f" and {len(names) - _MAX_NAMES} more"
        archives = [name for name in names if name in self.checksums]
        if archives:
            got += f"; unpack {archives[0]} first"
        return CorpusError(source, self.expected, got)

    def _describe_file(self, path: Path) -> str:
        """Returns a phrase for a file in place of the folder; verifies it if it is an archive."""
        if path.name not in self.checksums:
            known = ", ".join(self.checksums)
            return f"a file; checksums are known of {known}" if known else "a file"
        algorithm, _, wanted = self.checksums[path.name].partition(":")
        found = _checksum(path, algorithm)
        if found == wanted:
            return f"its complete archive ({algorithm} as published); unpack it, give the folder"
        return f"a damaged or incomplete archive ({algorithm} {found}, published is {wanted})"


def _checksum(path: Path, algorithm: str) -> str:
    digest, done = hashlib.new(algorithm, usedforsecurity=False), 0
    try:
        size = path.stat().st_size
        with (
            open_regular(path) as file,
            Progress(f"checking {path.name}", size // _MEGABYTE, "megabyte") as progress,
        ):
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                progress.advance((done + len(block)) // _MEGABYTE - done // _MEGABYTE)
                done += len(block)
    except OSError as error:
        raise CorpusError(path, "a readable file", first_line(error)) from error
    return digest.hexdigest()


# Sizes, license and checksum are those of the page.
MAESTRO = Release(
    "MAESTRO v3",
    "maestro-v3.0.0.csv and a folder for each year",
    "https://magenta.tensorflow.org/datasets/maestro",
    "101 GB, unpacked 120 GB",
    "CC BY-NC-SA 4.0",
    {
        "maestro-v3.0.0.zip": (
            "sha256:6680fea5be2339ea15091a249fbd70e49551246ddbd5ca50f1b2352c08c95291"
        ),
    },
)

# MD5 is what Zenodo publishes for each file; mirdata's loaders `slakh` and `guitarset` have the
# same. Contents are FLAC files, which take as much space as the archive.
SLAKH = Release(
    "Slakh2100",
    "folders TrackNNNNN, in train, validation and test or directly",
    "https://zenodo.org/records/4599666",
    "104 GB, unpacked about as much",
    "CC BY 4.0",
    {"slakh2100_flac_redux.tar.gz": "md5:f4b71b6c45ac9b506f59788456b3f0c4"},
)

GUITARSET = Release(
    "GuitarSet",
    "annotation, audio_mono-mic and audio_mono-pickup_mix, each from the archive of its name",
    "https://zenodo.org/records/3371780",
    "1.4 GB in these three archives",
    "CC BY 4.0",
    {
        "annotation.zip": "md5:b39b78e63d3446f2e54ddb7a54df9b10",
        "audio_mono-mic.zip": "md5:275966d6610ac34999b58426beb119c3",
        "audio_mono-pickup_mix.zip": "md5:aecce79f425a44e2055e46f680e10f6a",
    },
)

MUSICNET = Release(
    "MusicNet",
    "train_data, train_labels, test_data and test_labels",
    "https://zenodo.org/records/5120004",
    "11 GB",
    "CC BY 4.0",
    {"musicnet.tar.gz": "md5:844764911fa0d5b97c97da944a057590"},
)

URMP = Release(
    "URMP",
    "folders such as 01_Jupiter_vn_vc",
    "https://labsites.rochester.edu/air/projects/URMP.html and "
    "https://doi.org/10.5061/dryad.ng3r749",
    "12.5 GB",
    "CC0 1.0",
)

RELEASES: Mapping[str, Release] = {
    "maestro": MAESTRO,
    "slakh": SLAKH,
    "cerberus4": SLAKH,
    "guitarset": GUITARSET,
    "musicnet": MUSICNET,
    "urmp": URMP,
}
