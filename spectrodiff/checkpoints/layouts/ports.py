"""Import of checkpoints of the diffusers port and of the Paddle port derived from it.

Both have a folder per network with a `config.json` and a file of weights; the file formats differ,
and torch stores linear weights as [outputs, inputs]. There may also be an ONNX inverter, and, in
folders written here, `spectrodiff.json` with settings that the port does not know.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from spectrodiff.checkpoints.layouts.names import port_sources
from spectrodiff.checkpoints.layouts.paddle_file import read_paddle_file
from spectrodiff.checkpoints.layouts.safetensors_file import read_safetensors
from spectrodiff.checkpoints.layouts.torch_file import read_torch_file
from spectrodiff.checkpoints.model import (
    Checkpoint,
    Description,
    read_description,
    read_formatted,
)
from spectrodiff.checkpoints.settings import (
    TIME_SCALE,
    VELOCITY_BINS,
    choose,
    model_config,
    require,
)
from spectrodiff.checkpoints.tree import StoredArray, assemble
from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.json_files import read_json
from spectrodiff.diffusion.parameterization import Prediction
from spectrodiff.diffusion.sampling import PAPER_SAMPLING
from spectrodiff.models.config import ModelConfig
from spectrodiff.music.tokenization import Tokenization

NETWORKS = ("notes_encoder", "continuous_encoder", "decoder")
INVERTER = "melgan/model.onnx"
MODEL_INDEX = "model_index.json"
SCHEDULER = "scheduler/scheduler_config.json"
OWN_SETTINGS = "spectrodiff.json"
DIFFUSERS_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
PADDLE_FILES = ("model_state.pdparams",)

PORT_PREDICTIONS: Mapping[str, Prediction] = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
# Settings that must be equal for all networks, or for both encoders.
_ALL_SHARE = ("d_model", "num_heads", "d_kv", "d_ff")
_ENCODERS_SHARE = (*_ALL_SHARE, "num_layers", "feed_forward_proj")


def find_diffusers(path: Path) -> Path | None:
    """Returns `path` if it contains the networks of the diffusers port."""
    return path if weight_file(path / "decoder", DIFFUSERS_FILES) else None


def find_paddle(path: Path) -> Path | None:
    """Returns `path` if it contains the networks of the Paddle port."""
    return path if weight_file(path / "decoder", PADDLE_FILES) else None


def diffusers_files(files: Sequence[str]) -> list[str]:
    """Returns the files of the diffusers port among those of a Hub repository."""
    return _port_files(files, DIFFUSERS_FILES)


def paddle_files(files: Sequence[str]) -> list[str]:
    """Returns the files of the Paddle port among those of a Hub repository."""
    return _port_files(files, PADDLE_FILES)


def import_diffusers(folder: Path) -> Checkpoint:
    """Reads a folder of the diffusers port.

    Raises:
        CheckpointError: if files, arrays or settings are missing, unknown, damaged or unsupported.
    """
    return _import(folder, "diffusers", DIFFUSERS_FILES, transposed=True)


def import_paddle(folder: Path) -> Checkpoint:
    """Reads a folder of the Paddle port.

    Raises:
        CheckpointError: if files, arrays or settings are missing, unknown, damaged or unsupported.
    """
    return _import(folder, "Paddle", PADDLE_FILES, transposed=False)


def weight_file(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Returns the first of the files that exists in the folder."""
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _port_files(files: Sequence[str], names: tuple[str, ...]) -> list[str]:
    """Returns settings, inverter and one file of weights per network, if all networks have one."""
    weights = [
        next((file for name in names if (file := f"{network}/{name}") in files), None)
        for network in NETWORKS
    ]
    if None in weights:
        return []
    configs = (f"{network}/config.json" for network in NETWORKS)
    others = (MODEL_INDEX, SCHEDULER, INVERTER, OWN_SETTINGS, *configs)
    return [name for name in files if name in weights or name in others]


def _import(folder: Path, layout: str, names: tuple[str, ...], *, transposed: bool) -> Checkpoint:
    stored: dict[str, StoredArray] = {}
    for network in NETWORKS:
        path = weight_file(folder / network, names)
        if path is None:
            raise CheckpointError(folder / network, f"a file {' or '.join(names)}", "none")
        arrays = _READERS[path.suffix](path)
        stored |= {f"{network}/{name}": array for name, array in arrays.items()}
    description = _read_settings(folder)
    sources = port_sources(description.config)
    inverter = folder / INVERTER
    return Checkpoint(
        params=assemble(folder, description.config, sources, stored, transposed=transposed),
        inverter=inverter if inverter.is_file() else None,
        layout=layout,
        **description._asdict(),
    )


def _read_settings(folder: Path) -> Description:
    config = _read_sizes(folder)
    bins = choose(folder / NETWORKS[0], "vocab_size", config.vocabulary_size, VELOCITY_BINS)
    prediction = _read_prediction(folder / SCHEDULER)
    theirs = Description(
        config, prediction, "cosine", Tokenization(velocity_bins=bins), PAPER_SAMPLING
    )
    path = folder / OWN_SETTINGS
    if not path.is_file():
        return theirs
    ours = read_description(path, read_formatted(path), dict)
    # Position tables are stored whichever kind they are of.
    same_tables = dataclasses.replace(ours.config, positions=config.positions)
    for field in dataclasses.fields(config):
        name = field.name
        require(path, f"ModelConfig.{name}", getattr(same_tables, name), getattr(config, name))
    require(path, "prediction", ours.prediction, prediction)
    require(path, "schedule", ours.schedule, theirs.schedule)
    require(path, "Tokenization.velocity_bins", ours.tokenization.velocity_bins, bins)
    return ours


def _read_sizes(folder: Path) -> ModelConfig:
    paths = {network: folder / network / "config.json" for network in NETWORKS}
    notes, context, decoder = (read_json(path) for path in paths.values())
    for name in _ENCODERS_SHARE:
        require(paths["continuous_encoder"], name, context.get(name), notes.get(name))
    for name in _ALL_SHARE:
        require(paths["decoder"], name, decoder.get(name), notes.get(name))
    for path, name, value, wanted in (
        (paths["notes_encoder"], "feed_forward_proj", notes, "gated-gelu"),
        (paths["continuous_encoder"], "input_dims", context, decoder.get("input_dims")),
        (paths["decoder"], "max_decoder_noise_time", decoder, TIME_SCALE),
    ):
        require(path, name, value.get(name), wanted)
    return model_config(
        folder,
        width=notes.get("d_model"),
        heads=notes.get("num_heads"),
        head_width=notes.get("d_kv"),
        mlp_width=notes.get("d_ff"),
        encoder_layers=notes.get("num_layers"),
        decoder_layers=decoder.get("num_layers"),
        vocabulary_size=notes.get("vocab_size"),
        note_tokens=notes.get("max_length"),
        target_frames=decoder.get("targets_length"),
        context_frames=context.get("targets_context_length"),
        mel_bins=decoder.get("input_dims"),
        dropout=decoder.get("dropout_rate", 0.1),
    )


def _read_prediction(path: Path) -> Prediction:
    if not path.is_file():
        return "eps"
    settings = read_json(path)
    # The port's name for the cosine schedule; its discretization is not used here.
    require(path, "beta_schedule", settings.get("beta_schedule"), "squaredcos_cap_v2")
    name = "prediction_type"
    return choose(path, name, settings.get(name, "epsilon"), PORT_PREDICTIONS)


_READERS: Mapping[str, Callable[[Path], dict[str, StoredArray]]] = {
    ".safetensors": read_safetensors,
    ".bin": read_torch_file,
    ".pdparams": read_paddle_file,
}
