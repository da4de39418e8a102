"""Export of models to the layout of the diffusers port; `ports.py` reads it.

The port's `SpectrogramDiffusionPipeline` fixes some sizes. It has no guidance, and no settings of
tokenization and sampling; those are kept in `spectrodiff.json`, which it ignores.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from spectrodiff.checkpoints.layouts.names import port_sources
from spectrodiff.checkpoints.layouts.ports import (
    DIFFUSERS_FILES,
    INVERTER,
    MODEL_INDEX,
    NETWORKS,
    OWN_SETTINGS,
    PORT_PREDICTIONS,
    SCHEDULER,
)
from spectrodiff.checkpoints.layouts.safetensors_file import write_safetensors
from spectrodiff.checkpoints.model import Checkpoint, as_json
from spectrodiff.checkpoints.settings import EMBEDDING_ROWS, TIME_SCALE
from spectrodiff.checkpoints.tree import take_apart
from spectrodiff.core.config import require
from spectrodiff.core.constants import NUM_MELS, SEGMENT_FRAMES, StoredType
from spectrodiff.core.files import atomic_folder
from spectrodiff.diffusion.parameterization import estimates
from spectrodiff.models.config import ModelConfig

# Version of diffusers whose format this is.
DIFFUSERS_VERSION = "0.36.0"

_CLASSES = {
    "notes_encoder": "SpectrogramNotesEncoder",
    "continuous_encoder": "SpectrogramContEncoder",
    "decoder": "T5FilmDecoder",
}


def save_diffusers(checkpoint: Checkpoint, folder: Path, dtype: StoredType = "float32") -> None:
    """Writes a model to a new folder in the layout of the diffusers port.

    Read again, it has the same parameters (if stored as float32) and settings.

    Args:
        checkpoint: model to write; its inverter is an ONNX file or None.
        folder: new or empty folder.
        dtype: type of the stored parameters.

    Raises:
        ConfigError: if the port cannot play the model; names the setting.
        CheckpointError: if a parameter is too large for float16.
        OutputError: if the folder cannot be written.
    """
    check_playable(checkpoint)
    config = checkpoint.config
    arrays = take_apart(checkpoint.params, port_sources(config), transposed=True)
    with atomic_folder(folder) as partial:
        for network in NETWORKS:
            (partial / network).mkdir()
            own = {
                name.removeprefix(f"{network}/"): values
                for name, values in arrays.items()
                if name.startswith(f"{network}/")
            }
            path = partial / network / DIFFUSERS_FILES[0]
            write_safetensors(path, own, dtype, {"format": "pt"}, subject=folder)
            _write(partial / network / "config.json", _network_config(network, config))
        _write(partial / SCHEDULER, _scheduler(checkpoint))
        _write(partial / MODEL_INDEX, _index(with_inverter=checkpoint.inverter is not None))
        _write(partial / OWN_SETTINGS, as_json(checkpoint.description))
        if checkpoint.inverter is not None:
            (partial / INVERTER).parent.mkdir()
            shutil.copyfile(checkpoint.inverter, partial / INVERTER)


def check_playable(checkpoint: Checkpoint) -> None:
    """Checks that the port's pipeline can play a model.

    Raises:
        ConfigError: names the first setting that the port cannot express.
    """
    config, tokenization = checkpoint.config, checkpoint.tokenization
    for name, wanted in (
        ("kind", "diffusion"),
        # The constants of its pipeline.
        ("context_frames", SEGMENT_FRAMES),
        ("target_frames", SEGMENT_FRAMES),
        ("mel_bins", NUM_MELS),
        ("cross_attention", "concatenate"),
        ("context_positions", "from_end"),
        # Its tokens have one velocity.
        ("vocabulary_size", EMBEDDING_ROWS[1]),
    ):
        _require(f"ModelConfig.{name}", wanted, getattr(config, name))
    possible = tuple(PORT_PREDICTIONS.values())
    expected = f"{' or '.join(map(repr, possible))}, which diffusers knows"
    require(checkpoint.prediction in possible, "prediction", expected, checkpoint.prediction)
    _require("ModelConfig.estimates", estimates(checkpoint.prediction), config.estimates)
    _require("schedule", "cosine", checkpoint.schedule)
    # Its MidiProcessor has no settings.
    for name, setting in (
        ("velocity_bins", 1),
        ("ties", True),
        ("program_map", "slakh"),
        ("onsets_only", False),
    ):
        _require(f"Tokenization.{name}", setting, getattr(tokenization, name))


def _require(subject: str, wanted: object, value: object) -> None:
    require(value == wanted, subject, f"{wanted!r}, the only one in diffusers", value)


def _network_config(network: str, config: ModelConfig) -> dict[str, Any]:
    shared = {
        "_class_name": _CLASSES[network],
        "_diffusers_version": DIFFUSERS_VERSION,
        "d_model": config.width,
        "num_heads": config.heads,
        "d_kv": config.head_width,
        "d_ff": config.mlp_width,
        "dropout_rate": config.dropout,
    }
    if network == "decoder":
        return {
            **shared,
            "num_layers": config.decoder_layers,
            "input_dims": config.mel_bins,
            "targets_length": config.target_frames,
            "max_decoder_noise_time": TIME_SCALE,
        }
    encoder = {
        **shared,
        "num_layers": config.encoder_layers,
        "feed_forward_proj": "gated-gelu",
        "is_decoder": False,
    }
    if network == "notes_encoder":
        return {**encoder, "vocab_size": config.vocabulary_size, "max_length": config.note_tokens}
    return {
        **encoder,
        "input_dims": config.mel_bins,
        "targets_context_length": config.context_frames,
    }


def _scheduler(checkpoint: Checkpoint) -> dict[str, Any]:
    names = {ours: theirs for theirs, ours in PORT_PREDICTIONS.items()}
    small = checkpoint.sampling.variance == "small"
    return {
        "_class_name": "DDPMScheduler",
        "_diffusers_version": DIFFUSERS_VERSION,
        "beta_end": 0.02,
        "beta_schedule": "squaredcos_cap_v2",
        "beta_start": 0.0001,
        "clip_sample": True,
        "clip_sample_range": 1.0,
        "num_train_timesteps": 1000,
        "prediction_type": names[checkpoint.prediction],
        "variance_type": "fixed_small" if small else "fixed_large",
    }


def _index(*, with_inverter: bool) -> dict[str, Any]:
    # The home of the encoders as in the published model; newer versions of diffusers have moved it.
    homes = dict.fromkeys(NETWORKS, "spectrogram_diffusion") | {"decoder": "diffusers"}
    networks = {name: [homes[name], _CLASSES[name]] for name in NETWORKS}
    return {
        "_class_name": "SpectrogramDiffusionPipeline",
        "_diffusers_version": DIFFUSERS_VERSION,
        **networks,
        "melgan": ["diffusers", "OnnxRuntimeModel"] if with_inverter else [None, None],
        "scheduler": ["diffusers", "DDPMScheduler"],
    }


def _write(path: Path, values: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
