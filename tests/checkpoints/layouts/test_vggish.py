import numpy as np
import pytest
import safetensors.numpy

from spectrodiff.checkpoints.layouts.vggish import import_vggish
from spectrodiff.core.errors import CheckpointError
from tests.support.checkpoint_writers import torch_pickle, write_old_torch, write_torch
from tests.support.vggish import SMALL, TF1_NAMES, random_weights, tf1_arrays

TORCH_NAMES = dict(
    zip(
        TF1_NAMES,
        [*(f"features.{i}" for i in (0, 3, 6, 8, 11, 13)), *(f"embeddings.{i}" for i in (0, 2, 4))],
        strict=True,
    )
)


def torch_arrays(weights):
    """Convolutions as [out, in, height, width], matrices as [outputs, inputs]."""
    arrays = {}
    for ours, name in TORCH_NAMES.items():
        kernel = weights[ours]["kernel"]
        order = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
        arrays[f"{name}.weight"] = np.ascontiguousarray(kernel.transpose(order))
        arrays[f"{name}.bias"] = weights[ours]["bias"]
    return arrays


def write_port(path, arrays, *, old):
    """The arrays as the PyTorch port's file, each with a storage of its own."""
    tensors, storages = {}, {}
    for key, (name, array) in enumerate(arrays.items()):
        strides = tuple(stride // 4 for stride in array.strides)
        tensors[name] = ("FloatStorage", str(key), array.size, 0, array.shape, strides)
        storages[str(key)] = array.tobytes()
    (write_old_torch if old else write_torch)(path, torch_pickle(tensors, old=old), storages)


@pytest.fixture(params=["a.npz", "a.safetensors", "old.pth", "new.pth"])
def published(request, tmp_path):
    """A function that writes weights in one of the published forms."""
    path = tmp_path / request.param

    def write(weights, **extra):
        if path.suffix == ".npz":
            np.savez(path, **tf1_arrays(weights), **extra)
        elif path.suffix == ".safetensors":
            safetensors.numpy.save_file({**tf1_arrays(weights), **extra}, path)
        else:
            write_port(path, {**torch_arrays(weights), **extra}, old=path.stem == "old")
        return path

    return write


def test_every_form_gives_the_same_parameters(published):
    weights = random_weights()
    pca = np.eye(3, dtype=np.float32)  # beside the network in files of the whole model: not used
    config, params = import_vggish(published(weights, **{"pproc.pca_eigen_vectors": pca}))
    assert config == SMALL
    assert params.keys() == weights.keys()
    for name, layer in weights.items():
        for key, values in layer.items():
            np.testing.assert_array_equal(params[name][key], values)


def test_missing_and_unfitting_arrays(published):
    weights = random_weights()
    weights["conv2"]["kernel"] = weights["conv2"]["kernel"][:, :, :3]
    with pytest.raises(CheckpointError, match=r"shape \(3, 3, 4, 5\), got shape \(3, 3, 3, 5\)"):
        import_vggish(published(weights))
    weights = random_weights()
    weights["fc1_1"]["kernel"] = weights["fc1_1"]["kernel"][:-1]
    with pytest.raises(CheckpointError, match=r"shape \(216, 12\), got shape \(215, 12\)"):
        import_vggish(published(weights))


def test_left_over_and_absent_arrays(tmp_path):
    arrays = tf1_arrays(random_weights())
    np.savez(tmp_path / "a.npz", **arrays, **{"vggish/fc3/weights": np.eye(3)})
    with pytest.raises(CheckpointError, match="also vggish/fc3/weights"):
        import_vggish(tmp_path / "a.npz")
    del arrays["vggish/conv2/biases"]
    np.savez(tmp_path / "b.npz", **arrays)
    with pytest.raises(CheckpointError, match="a file without vggish/conv2/biases"):
        import_vggish(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", other=np.eye(3))
    with pytest.raises(CheckpointError, match=r"published at .*vggish_model"):
        import_vggish(tmp_path / "c.npz")


def test_unreadable_files(tmp_path):
    with pytest.raises(CheckpointError, match=r"published at .* stay empty\), got no such file"):
        import_vggish(tmp_path / "vggish.npz")
    for name in ("a.npz", "a.safetensors", "a.pth"):
        (tmp_path / name).write_bytes(b"hello, this is not what it seems")
        with pytest.raises(CheckpointError, match=name):
            import_vggish(tmp_path / name)
    np.savez(tmp_path / "b.npz", x=np.array([{"an": "object"}]))
    with pytest.raises(CheckpointError, match=r"b\.npz"):
        import_vggish(tmp_path / "b.npz")
    data = (tmp_path / "b.npz").read_bytes()
    (tmp_path / "b.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match=r"b\.npz"):
        import_vggish(tmp_path / "b.npz")
