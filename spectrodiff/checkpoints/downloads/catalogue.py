"""Models that others have published, with their addresses, sizes, checksums and licenses.

Sizes, checksums and licenses are those that the publishers' pages state; the Paddle page counts in
units of 2^20 bytes. See `docs/released_models.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["zip", "paddle", "hub", "folder"]

RELEASE = "https://storage.googleapis.com/music-synthesis-with-spectrogram-diffusion/checkpoints"
PADDLE = "https://paddlenlp.bj.bcebos.com/models/community"
HUB = "https://huggingface.co"
PADDLE_PREFIX = "paddle:"

_RELEASE_PAGE = "https://github.com/magenta/music-spectrogram-diffusion"
_ID = "google/music-spectrogram-diffusion"


@dataclass(frozen=True)
class PublishedFile:
    """File of a published model.

    Attributes:
        name: path in the folder of the model, or name of the archive.
        megabytes: length in units of 1,000,000 bytes, as exactly as it is published; None if it is
            not.
        sha256: checksum in hexadecimal; empty if it is not published.
        needed: False for a file that is not part of the model.
    """

    name: str
    megabytes: float | None
    sha256: str = ""
    needed: bool = True


@dataclass(frozen=True)
class Published:
    """Model that others have published.

    Attributes:
        name: name for `open_checkpoint`.
        kind: "zip" for an archive, "paddle" for single files, "hub" for a repository.
        address: of the archive, the folder or the repository.
        page: where it is described.
        license: SPDX identifier and where it is stated.
        size: size of the network, a key of `SIZES`.
        inverter: True if it brings an inverter.
        files: files of the model.
    """

    name: str
    kind: Kind
    address: str
    page: str
    license: str
    size: str
    inverter: bool
    files: tuple[PublishedFile, ...] = field(default=())

    @property
    def megabytes(self) -> float | None:
        """Length of all files together in units of 1,000,000 bytes; None if unknown."""
        sizes = [file.megabytes for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)


def _released(name: str, size: str) -> Published:
    return Published(
        name=name,
        kind="zip",
        address=f"{RELEASE}/{name}.zip",
        page=_RELEASE_PAGE,
        license="Apache-2.0, that of the repository that publishes it",
        size=size,
        inverter=False,
        files=(PublishedFile(f"{name}.zip", None),),
    )


_PORT = (
    PublishedFile("model_index.json", 0.0004),
    PublishedFile("scheduler/scheduler_config.json", 0.0004),
    PublishedFile("notes_encoder/config.json", 0.0004),
    PublishedFile("continuous_encoder/config.json", 0.0004),
    PublishedFile("decoder/config.json", 0.0003),
)
_INVERTER_SHA256 = "0f7bfb7c042cfed63b133aa26ec440f7b2d08192823fbc2363499696b3720603"

CATALOGUE: Mapping[str, Published] = {
    published.name: published
    for published in (
        _released("small_with_context", "small"),
        _released("base_with_context", "base"),
        Published(
            name=_ID,
            kind="hub",
            address=f"{HUB}/{_ID}",
            page=f"{HUB}/{_ID}",
            license="Apache-2.0, stated on its page",
            size="base",
            inverter=True,
            files=(
                *_PORT,
                PublishedFile(
                    "notes_encoder/diffusion_pytorch_model.bin",
                    351,
                    "be7f951c6ed13ef10ae9298c10c315d9d27a29a4da42fad9f24355967fd37e4c",
                ),
                PublishedFile(
                    "continuous_encoder/diffusion_pytorch_model.bin",
                    341,
                    "9ce0037cc2f9aad486141769202fed6a112db29487a358651424d1354ba52038",
                ),
                PublishedFile(
                    "decoder/diffusion_pytorch_model.bin",
                    955,
                    "eda770548b0ac2432973dee6a99068fdf2120454e7599ea3b62acebde6aa1d5b",
                ),
                PublishedFile("melgan/model.onnx", 60.5, _INVERTER_SHA256),
            ),
        ),
        Published(
            name=f"{PADDLE_PREFIX}{_ID}",
            kind="paddle",
            address=f"{PADDLE}/{_ID}/",
            page="https://github.com/PaddlePaddle/PaddleNLP",
            license="unknown for the converted files; Apache-2.0 for the weights that they were "
            "converted from",
            size="base",
            inverter=True,
            files=(
                PublishedFile("README.md", 0.003, needed=False),
                *_PORT,
                PublishedFile("notes_encoder/model_state.pdparams", 351),
                PublishedFile("continuous_encoder/model_state.pdparams", 341),
                PublishedFile("decoder/model_state.pdparams", 955),
                PublishedFile("melgan/model.onnx", 60.5),
            ),
        ),
    )
}
