"""Import of the published weights of VGGish.

They are published as a TensorFlow 1 checkpoint, https://storage.googleapis.com/audioset/
vggish_model.ckpt, which only TensorFlow can read. With TensorFlow, it can be converted to a file
that is supported here:

    import numpy, tensorflow
    reader = tensorflow.train.load_checkpoint("vggish_model.ckpt")
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("vggish/")]
    numpy.savez("vggish.npz", **{name: reader.get_tensor(name) for name in names})

A `.safetensors` file with the same names is supported too, and so is the file of the PyTorch port,
vggish-10086976.pth of https://github.com/harritaylor/torchvggish/releases.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spectrodiff.checkpoints.layouts.npz_file import read_npz
from spectrodiff.checkpoints.layouts.safetensors_file import read_safetensors
from spectrodiff.checkpoints.layouts.torch_file import read_torch_file
from spectrodiff.checkpoints.tree import Source, StoredArray, assemble_tree
from spectrodiff.core.errors import CheckpointError
from spectrodiff.models.definition import Params, define
from spectrodiff.models.vggish import CONVOLUTIONS, FULLY_CONNECTED, Vggish, VggishConfig

_WANTED = (
    "weights of VGGish, published at https://storage.googleapis.com/audioset/vggish_model.ckpt "
    "and https://github.com/harritaylor/torchvggish/releases (without them, the columns "
    "'VGGish reconstruction' and 'VGGish FAD' stay empty)"
)
_TF1_NAMES = {
    "conv1": "vggish/conv1",
    "conv2": "vggish/conv2",
    "conv3_1": "vggish/conv3/conv3_1",
    "conv3_2": "vggish/conv3/conv3_2",
    "conv4_1": "vggish/conv4/conv4_1",
    "conv4_2": "vggish/conv4/conv4_2",
    "fc1_1": "vggish/fc1/fc1_1",
    "fc1_2": "vggish/fc1/fc1_2",
    "fc2": "vggish/fc2",
}
_TORCH_NAMES = {
    **{name: f"features.{i}" for name, i in zip(CONVOLUTIONS, (0, 3, 6, 8, 11, 13), strict=True)},
    **{name: f"embeddings.{i}" for name, i in zip(FULLY_CONNECTED, (0, 2, 4), strict=True)},
}
# Permutation from torch's axes to ours, by the number of axes: convolutions are stored as [outputs,
# inputs, height, width], matrices as [outputs, inputs].
_TORCH_AXES = {4: (2, 3, 1, 0), 2: (1, 0)}


def import_vggish(path: str | os.PathLike[str]) -> tuple[VggishConfig, Params]:
    """Reads a file of weights; suffix and names determine the format.

    Raises:
        CheckpointError: if the file is missing or damaged, or arrays are missing, unknown or of
            inconsistent shapes.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(path, _WANTED, "no such file")
    if path.suffix == ".npz":
        stored = read_npz(path)
    elif path.suffix == ".safetensors":
        stored = read_safetensors(path)
    else:
        stored = read_torch_file(path)
    # Other entries, such as those of optimizer and PCA, are ignored.
    names = [name for name in stored if name.startswith(("vggish/", "features.", "embeddings."))]
    if any(name.startswith("features.") for name in names):
        stored = {name: _as_in_ours(stored[name]) for name in names}
        sources = _sources(_TORCH_NAMES, kernel=".weight", bias=".bias")
    else:
        stored = {name: stored[name] for name in names}
        sources = _sources(_TF1_NAMES, kernel="/weights", bias="/biases")
    config = _read_sizes(path, sources, stored)
    return config, assemble_tree(path, define(Vggish, config).named_shapes, sources, stored)


def _sources(names: Mapping[str, str], *, kernel: str, bias: str) -> dict[str, Source]:
    return {
        **{f"{ours}/kernel": theirs + kernel for ours, theirs in names.items()},
        **{f"{ours}/bias": theirs + bias for ours, theirs in names.items()},
    }


def _as_in_ours(array: StoredArray) -> StoredArray:
    axes = _TORCH_AXES.get(len(array.shape))
    if axes is None:
        return array
    shape = tuple(array.shape[axis] for axis in axes)
    return StoredArray(shape, lambda: np.transpose(array.read(), axes))


def _read_sizes(
    path: Path, sources: Mapping[str, Source], stored: Mapping[str, StoredArray]
) -> VggishConfig:
    """Returns the width of every layer, which is the length of its bias."""
    widths = {}
    for name in (*CONVOLUTIONS, *FULLY_CONNECTED):
        entry = sources[f"{name}/bias"]
        if not isinstance(entry, str) or entry not in stored:
            raise CheckpointError(path, _WANTED, f"a file without {entry}")
        if len(stored[entry].shape) != 1:
            raise CheckpointError(path, f"{entry} as a vector", f"shape {stored[entry].shape}")
        widths[name] = stored[entry].shape[0]
    config = VggishConfig(
        channels=tuple(widths[name] for name in CONVOLUTIONS),
        hidden=(widths["fc1_1"], widths["fc1_2"]),
        dims=widths["fc2"],
    )
    for name, most in zip(widths, _widths(VggishConfig()), strict=True):
        if not 1 <= widths[name] <= most:
            expected = f"1 to {most} outputs of {name}, as published"
            raise CheckpointError(path, expected, str(widths[name]))
    return config


def _widths(config: VggishConfig) -> tuple[int, ...]:
    return (*config.channels, *config.hidden, config.dims)
