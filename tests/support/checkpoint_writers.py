"""Writes small checkpoints in the layouts of others, the way their own programs write them."""

import gzip
import json
import pickle
import shutil
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import msgpack
import numpy as np

GIN = """# Operative configuration.
from __gin__ import dynamic_registration
import __main__ as train_script
from music_spectrogram_diffusion.models.diffusion import network

include 'somewhere/else.gin'

# Macros:
# ==============================================================================
NUM_VELOCITY_BINS = {velocity_bins}
OPTIMIZER = @adafactor.Adafactor()
TASK_FEATURE_LENGTHS = {lengths}
WIDTH = 32

# Parameters for network.T5Config:
# ==============================================================================
network.T5Config.context_positions = 'terminal_relative'
network.T5Config.decoder_cross_attend_style = '{style}'
network.T5Config.dropout_rate = 0.1
network.T5Config.dtype = 'float32'
network.T5Config.emb_dim = %WIDTH
network.T5Config.head_dim = 8
network.T5Config.mlp_activations = \\
    ('gelu', 'linear')
network.T5Config.mlp_dim = 48
network.T5Config.num_decoder_layers = 3
network.T5Config.num_encoder_layers = 2
network.T5Config.num_heads = 2
network.T5Config.position_encoding = 'fixed_permuted_offset'
network.T5Config.vocab_size = @vocabularies.num_embeddings()

# Parameters for train/diffusion_utils.DiffusionSchedule:
train/diffusion_utils.DiffusionSchedule.name = 'cosine'
"""


def golden_params(golden: Path, network: str) -> dict[str, np.ndarray]:
    """The weights of a golden network under their T5X names."""
    with np.load(golden / f"network_{network}.npz") as arrays:
        return {
            name.removeprefix("params/"): arrays[name]
            for name in arrays
            if name.startswith("params/")
        }


def published_mt3(golden: Path) -> dict[str, np.ndarray]:
    """The weights of the golden MT3 with one attention head of the published width, 64."""
    weights = golden_params(golden, "mt3")
    for name, values in weights.items():
        if "attention/" in name and name.endswith("kernel"):
            weights[name] = np.tile(values, (4, 1) if name.endswith("out/kernel") else (1, 4))
    return weights


def write_t5x(
    run: Path,
    params: Mapping[str, np.ndarray],
    *,
    style: str = "concat_encodings",
    kvstore: str = "file",
    step: int = 500_000,
    zarr_type: str = "<f4",
    settings: str = "",
) -> Path:
    """Writes a T5X run, vectors into the msgpack, the rest beside it; returns the step's folder.

    Args:
        settings: lines of gin that come last, and so win.
    """
    folder = run / f"checkpoint_{step}"
    folder.mkdir(parents=True)
    lengths = {"inputs": 64, "targets": 16}
    if any(name.startswith("continuous_encoder/") for name in params):
        lengths["targets_context"] = 16
    gin = GIN.format(velocity_bins=1, lengths=lengths, style=style)
    (run / "config.gin").write_text(f"{gin}\n{settings}\n")
    target: dict = {}
    for name, values in params.items():
        *parents, leaf = name.split("/")
        node = target
        for parent in parents:
            node = node.setdefault(parent, {})
        if values.ndim == 1:
            node[leaf] = packed(values)
        else:
            directory = f"target.{name.replace('/', '.')}"
            write_zarr(folder / directory, values, zarr_type)
            node[leaf] = zarr_spec(directory, values.shape, kvstore)
    state = {"step": packed(np.int32(step)), "param_states": {"decoder": None}}
    write_msgpack(folder / "checkpoint", target, state)
    return folder


def write_msgpack(path: Path, target: dict, state: dict | None = None) -> None:
    path.write_bytes(
        msgpack.packb({"version": 3, "optimizer": {"target": target, "state": state or {}}})
    )


def packed(values: np.ndarray) -> msgpack.ExtType:
    """An array as flax puts it into a msgpack: (shape, type name, bytes) under code 1."""
    values = np.asarray(values)
    return msgpack.ExtType(1, msgpack.packb((values.shape, values.dtype.name, values.tobytes())))


def zarr_spec(directory: str, shape: tuple[int, ...], kvstore: str = "file") -> dict:
    """The spec of an array as written on one machine ("file") or from a pod ("gcs")."""
    spec: dict = {"driver": "zarr", "dtype": "float32", "metadata": {"shape": list(shape)}}
    if kvstore == "gcs":
        bucket = {"driver": "gcs", "bucket": "t5x-dummy-bucket"}
        return {**spec, "kvstore": bucket, "path": directory, "transform": None}
    return {**spec, "kvstore": {"driver": "file", "path": f"{directory}/"}}


def write_zarr(folder: Path, values: np.ndarray, zarr_type: str = "<f4") -> None:
    """Writes a gzipped zarr (format 2) array in two chunks along its first axis."""
    folder.mkdir()
    rows = (values.shape[0] + 1) // 2
    metadata = {
        "zarr_format": 2,
        "shape": values.shape,
        "chunks": [rows, *values.shape[1:]],
        "dtype": zarr_type,
        "compressor": {"id": "gzip", "level": 1},
        "fill_value": None,
        "filters": None,
        "order": "C",
        "dimension_separator": ".",
    }
    (folder / ".zarray").write_text(json.dumps(metadata))
    dtype = ml_dtypes.bfloat16 if zarr_type == "bfloat16" else np.dtype(zarr_type)
    padded = np.zeros((2 * rows, *values.shape[1:]), dtype)
    padded[: values.shape[0]] = values
    for index in range(2):
        chunk = padded[index * rows : (index + 1) * rows].tobytes()
        name = ".".join([str(index)] + ["0"] * (values.ndim - 1))
        (folder / name).write_bytes(gzip.compress(chunk, 1))


def torch_pickle(tensors: Mapping[str, tuple], *, old: bool = False) -> bytes:
    """The `data.pkl` of a state dict, instruction by instruction (protocol 2).

    Args:
        tensors: name to (storage type, storage key, storage length, offset, shape, strides).
        old: as before torch 1.6, when a reference to a storage had another part, always None.
    """
    end_of_reference = b"NtQ" if old else b"tQ"
    out = b"\x80\x02}("
    for name, (kind, key, length, offset, shape, strides) in tensors.items():
        out += _text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n("
        out += b"(" + _text("storage") + f"ctorch\n{kind}\n".encode()
        out += _text(key) + _text("cpu") + _integer(length) + end_of_reference
        out += _integer(offset) + _integers(shape) + _integers(strides)
        out += b"\x89ccollections\nOrderedDict\n)RtR"
    return out + b"u."


def write_torch(path: Path, pickled: bytes, storages: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("weights/data.pkl", pickled)
        archive.writestr("weights/byteorder", "little")
        for key, data in storages.items():
            archive.writestr(f"weights/data/{key}", data)


def write_old_torch(
    path: Path, pickled: bytes, storages: Mapping[str, bytes], *, little_endian: bool = True
) -> None:
    """Writes 4-byte elements the way torch did before 1.6: pickles in a row, then storages."""
    machine = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"int": 4}}
    parts = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, machine)]
    parts += [pickled, pickle.dumps(list(storages), 2)]
    parts += [struct.pack("<q", len(data) // 4) + data for data in storages.values()]
    path.write_bytes(b"".join(parts))


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _integers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_integer, values)) + b"t"


def copy_writable(source: Path, target: Path) -> Path:
    """Copies a folder of goldens so that a test can damage it."""
    shutil.copytree(source, target)
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target
