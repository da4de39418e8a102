"""Settings of T5X checkpoints, read from the gin file of their training."""

import reprlib
from collections.abc import Mapping
from typing import Any

from spectrodiff.checkpoints.layouts.gin_file import GinFile
from spectrodiff.checkpoints.model import Description
from spectrodiff.checkpoints.settings import (
    EMBEDDING_ROWS,
    PREDICTIONS,
    TIME_SCALE,
    choose,
    model_config,
    read_schedule,
    read_settings,
    require,
)
from spectrodiff.core.errors import CheckpointError
from spectrodiff.diffusion.parameterization import Prediction, estimates
from spectrodiff.diffusion.sampling import PAPER_SAMPLING, Sampling
from spectrodiff.models.config import (
    ContextPositions,
    CrossAttention,
    ModelConfig,
    NetworkKind,
    PositionTable,
)
from spectrodiff.music.programs import ProgramMap
from spectrodiff.music.tokenization import Tokenization

_CROSS_ATTENTION: Mapping[str, CrossAttention] = {
    "concat_encodings": "concatenate",
    "sum_cross_attends": "sum",
}
_POSITIONS: Mapping[str, PositionTable] = {
    "fixed_permuted_offset": "random_phase",
    "learnable_permuted_offset": "random_phase_trained",
    "fixed": "sinusoid",
    "random": "random_trained",
}
_CONTEXT_POSITIONS: Mapping[str, ContextPositions] = {
    "terminal_relative": "from_end",
    "regular": "from_start",
}
# The programs of most corpora that models were trained on are classes of Slakh.
_PROGRAM_MAPS: Mapping[str, ProgramMap] = {
    "full": "slakh",
    "midi_class": "midi_class",
    "flat": "flat",
}


def read_t5x_settings(gin: GinFile, kind: NetworkKind, *, has_context: bool) -> Description:
    """Reads the settings of a model.

    Settings that the file does not bind have the defaults of the released code, but for guidance:
    its default was not used.

    Args:
        gin: file with the settings of the training.
        kind: kind of the network.
        has_context: True if the network has a context encoder.

    Raises:
        CheckpointError: if a setting is missing, invalid or unsupported.
    """
    name = "DiffusionConfig.model_output"
    prediction = choose(gin.path, name, gin.get(name, "eps"), PREDICTIONS)
    return Description(
        _read_sizes(gin, kind, has_context, prediction),
        prediction,
        _read_schedule(gin, "train"),
        _read_tokenization(gin),
        _read_sampling(gin),
    )


def _read_sizes(
    gin: GinFile, kind: NetworkKind, has_context: bool, prediction: Prediction
) -> ModelConfig:
    lengths = gin.require("TASK_FEATURE_LENGTHS")
    if not isinstance(lengths, dict):
        raise CheckpointError(gin.path, "TASK_FEATURE_LENGTHS as a dict", reprlib.repr(lengths))
    activations = "T5Config.mlp_activations"
    require(gin.path, activations, gin.require(activations), ("gelu", "linear"))
    changes: dict[str, Any] = {}
    if kind == "diffusion":
        time_scale, positions = "T5Config.max_decoder_noise_time", "T5Config.position_encoding"
        require(gin.path, time_scale, gin.get(time_scale, TIME_SCALE), TIME_SCALE)
        table = choose(gin.path, positions, gin.get(positions, "fixed"), _POSITIONS)
        changes |= {"positions": table, "estimates": estimates(prediction)}
    else:
        # Other numbers of outputs are those of mixtures of Gaussians.
        outputs = "T5Config.output_dim"
        require(gin.path, outputs, gin.get(outputs, 0), 0)
    if has_context:  # with one source, all styles of cross-attention are equal
        for name, setting, choices in (
            ("context_positions", "T5Config.context_positions", _CONTEXT_POSITIONS),
            ("cross_attention", "T5Config.decoder_cross_attend_style", _CROSS_ATTENTION),
        ):
            changes[name] = choose(gin.path, setting, gin.require(setting), choices)
    bins = "NUM_VELOCITY_BINS"
    return model_config(
        gin.path,
        width=gin.require("T5Config.emb_dim"),
        heads=gin.require("T5Config.num_heads"),
        head_width=gin.require("T5Config.head_dim"),
        mlp_width=gin.require("T5Config.mlp_dim"),
        encoder_layers=gin.require("T5Config.num_encoder_layers"),
        decoder_layers=gin.require("T5Config.num_decoder_layers"),
        vocabulary_size=choose(gin.path, bins, gin.require(bins), EMBEDDING_ROWS),
        note_tokens=lengths.get("inputs"),
        target_frames=lengths.get("targets"),
        context_frames=lengths.get("targets_context") if has_context else 0,
        dropout=gin.get("T5Config.dropout_rate", 0.1),
        kind=kind,
        **changes,
    )


def _read_schedule(gin: GinFile, scope: str) -> str:
    name = gin.get(f"{scope}/DiffusionSchedule.name", "cosine")
    if name != "linear":
        return read_schedule(gin.path, name)
    parts = (f"{scope}/DiffusionSchedule.{part}" for part in ("start", "stop", "num_steps"))
    constants = ":".join(str(gin.require(part)) for part in parts)
    return read_schedule(gin.path, f"linear:{constants}")


def _read_sampling(gin: GinFile) -> Sampling:
    scope = "sampler/DiffusionSchedule"
    if gin.get(f"{scope}.name") is not None:
        trained = _read_schedule(gin, "train")
        require(gin.path, scope, _read_schedule(gin, "sampler"), trained)
    require(gin.path, "SamplerConfig.clip_x0", gin.get("SamplerConfig.clip_x0", True), True)
    settings = {
        "sampler": gin.get("SamplerConfig.name", PAPER_SAMPLING.sampler),
        "steps": gin.get(f"{scope}.num_steps", PAPER_SAMPLING.steps),
        "variance": gin.get("SamplerConfig.logvar_type", PAPER_SAMPLING.variance),
    }
    return read_settings(gin.path, Sampling, settings, partly=True)


def _read_tokenization(gin: GinFile) -> Tokenization:
    programs, notes = "map_midi_programs.granularity_type", "NoteRepresentationConfig"
    settings = {
        "velocity_bins": gin.require("NUM_VELOCITY_BINS"),
        "ties": gin.get(f"{notes}.include_ties", True),
        "onsets_only": gin.get(f"{notes}.onsets_only", False),
        "program_map": choose(gin.path, programs, gin.get(programs, "full"), _PROGRAM_MAPS),
    }
    return read_settings(gin.path, Tokenization, settings, partly=True)
