"""Small undamaged checkpoints in all layouts, from which damaged ones are made.

A process that writes them has threads, and cannot be copied safely for each attempt. So they are
written by another, to a file whose name the processes of a campaign hand on.
"""

import atexit
import functools
import io
import os
import pickle
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from tests.campaigns.harness import ROOT

GOLDEN = ROOT / "tests/golden"
_VARIABLE = "SPECTRODIFF_CAMPAIGN_CHECKPOINTS"

# Contents of the files of a checkpoint by their paths.
Contents = dict[str, bytes]


@functools.cache
def bases() -> dict[str, Contents]:
    """Returns a checkpoint in each layout, by the name of the layout."""
    if _VARIABLE not in os.environ:
        handle, name = tempfile.mkstemp(suffix=".pickle")
        os.close(handle)
        atexit.register(Path(name).unlink, missing_ok=True)
        command = [sys.executable, "-m", __name__, name]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        os.environ[_VARIABLE] = name
    made: dict[str, Contents] = pickle.loads(Path(os.environ[_VARIABLE]).read_bytes())
    return made


def write_all(home: Path) -> dict[str, Contents]:
    """Writes a checkpoint in each layout and returns their files."""
    _write_models(home)
    _write_run(home / "run")
    _write_ports(home)
    _write_t5x(home)
    _write_inverters(home)
    _write_vggish(home)
    return {folder.name: contents_of(folder) for folder in sorted(home.iterdir())}


def contents_of(folder: Path) -> Contents:
    """Returns the files below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _write_models(home: Path) -> None:
    from spectrodiff.checkpoints.layouts.diffusers_folder import save_diffusers
    from spectrodiff.checkpoints.layouts.store import save_model
    from spectrodiff.inverter.files import save_inverter
    from tests.support.inverters import random_inverter
    from tests.support.made_models import made_model

    (home / "inverter").mkdir()
    inverter = home / "inverter/inverter.safetensors"
    save_inverter(random_inverter("tiny"), inverter)
    save_model(made_model(inverter=inverter), home / "model")
    save_diffusers(made_model(), home / "diffusers")
    (home / "archive").mkdir()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents_of(home / "diffusers").items():
            archive.writestr(zipfile.ZipInfo(f"released/{name}"), data, zipfile.ZIP_DEFLATED)
    (home / "archive/released.zip").write_bytes(buffer.getvalue())


def _write_run(folder: Path) -> None:
    from spectrodiff.training.checkpointing import Checkpoints
    from spectrodiff.training.run_folder import open_run
    from tests.support import tiny
    from tests.support.runs import ADAMW_EMA, settings

    state = tiny.Trainer(optimization=ADAMW_EMA).state
    with Checkpoints(open_run(folder, settings(), write=True), keep=2) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state, {"batches": step})


def _write_ports(home: Path) -> None:
    """Writes the weights of a diffusers folder as the files of other programs."""
    import safetensors.numpy

    whole = contents_of(home / "diffusers")
    for layout, name in (
        ("diffusers_bin", "diffusion_pytorch_model.bin"),
        ("diffusers_old_bin", "diffusion_pytorch_model.bin"),
        ("paddle", "model_state.pdparams"),
    ):
        for path, data in whole.items():
            target = home / layout / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.suffix != ".safetensors":
                target.write_bytes(data)
                continue
            arrays = safetensors.numpy.load(data)
            if layout == "paddle":
                arrays = {name: _in_paddle(name, array) for name, array in arrays.items()}
                target.with_name(name).write_bytes(pickle.dumps(arrays, 4))
            else:
                _write_torch(target.with_name(name), arrays, old=layout == "diffusers_old_bin")


def _in_paddle(name: str, values: np.ndarray) -> np.ndarray:
    """Linear weights are stored as [inputs, outputs]."""
    is_matrix = values.ndim == 2 and "embedder" not in name and "position" not in name
    return np.ascontiguousarray(values.T if is_matrix else values)


def _write_torch(path: Path, arrays: dict[str, np.ndarray], *, old: bool) -> None:
    from tests.support.checkpoint_writers import torch_pickle, write_old_torch, write_torch

    tensors, storages = {}, {}
    for number, (name, values) in enumerate(arrays.items()):
        strides = tuple(stride // 4 for stride in np.ascontiguousarray(values).strides)
        key = str(number)
        tensors[name] = ("FloatStorage", key, values.size, 0, values.shape, strides)
        storages[key] = values.astype(np.float32).tobytes()
    (write_old_torch if old else write_torch)(path, torch_pickle(tensors, old=old), storages)


def _write_t5x(home: Path) -> None:
    from tests.support.checkpoint_writers import golden_params, published_mt3, write_t5x

    write_t5x(home / "t5x", golden_params(GOLDEN, "context_concat_encodings"))
    write_t5x(home / "mt3", published_mt3(GOLDEN))


def _write_inverters(home: Path) -> None:
    from tests.support.onnx_graphs import save_convolution

    (home / "onnx").mkdir()
    save_convolution(home / "onnx/inverter.onnx", 0)


def _write_vggish(home: Path) -> None:
    import safetensors.numpy

    from tests.support.vggish import random_weights, tf1_arrays

    weights = random_weights()
    for layout in ("vggish_npz", "vggish_safetensors", "vggish_pth", "vggish_old_pth"):
        (home / layout).mkdir()
    np.savez(home / "vggish_npz/vggish.npz", **tf1_arrays(weights))
    safetensors.numpy.save_file(tf1_arrays(weights), home / "vggish_safetensors/vggish.safetensors")
    arrays = {}
    numbers = (
        *(f"features.{i}" for i in (0, 3, 6, 8, 11, 13)),
        *(f"embeddings.{i}" for i in (0, 2, 4)),
    )
    for layer, name in zip(weights.values(), numbers, strict=True):
        kernel = layer["kernel"]
        arrays[f"{name}.weight"] = kernel.transpose((3, 2, 0, 1) if kernel.ndim == 4 else (1, 0))
        arrays[f"{name}.bias"] = layer["bias"]
    _write_torch(home / "vggish_pth/vggish.pth", arrays, old=False)
    _write_torch(home / "vggish_old_pth/vggish.pth", arrays, old=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        Path(sys.argv[1]).write_bytes(pickle.dumps(write_all(Path(scratch))))
