"""Import of the published weights of MT3, in T5X format.

The release has no configuration. The shapes of the arrays determine all sizes but the width of an
attention head, which is 64 in every published model.
"""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from spectrodiff.checkpoints.layouts.names import mt3_sources
from spectrodiff.checkpoints.layouts.t5x import find_t5x, read_t5x_arrays
from spectrodiff.checkpoints.settings import model_config
from spectrodiff.checkpoints.tree import StoredArray, assemble_tree
from spectrodiff.core.constants import SEGMENT_FRAMES
from spectrodiff.core.errors import CheckpointError
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.definition import Params, Shape, define
from spectrodiff.models.mt3 import MAX_TOKENS, Mt3

PUBLISHED = "gs://mt3/checkpoints/mt3/"
HEAD_WIDTH = 64

_WANTED = f"the T5X checkpoint of MT3, published at {PUBLISHED}"


def import_mt3(folder: Path, head_width: int = HEAD_WIDTH) -> tuple[ModelConfig, Params]:
    """Reads the sizes and the parameters of a transcriber.

    Args:
        folder: folder that contains the file `checkpoint`, or its parent.
        head_width: K, which the shapes do not determine.

    Raises:
        CheckpointError: if arrays are missing, unknown, damaged or of the wrong shape.
    """
    found = find_t5x(folder) if folder.is_dir() else None
    if found is None:
        raise CheckpointError(folder, _WANTED, "no checkpoint")
    stored = read_t5x_arrays(found)
    config = _read_sizes(found, stored, head_width)
    shapes = define(Mt3, config).named_shapes
    return config, assemble_tree(found, shapes, mt3_sources(config), stored)


def _read_sizes(folder: Path, stored: Mapping[str, StoredArray], head_width: int) -> ModelConfig:
    mel_bins, width = _matrix(folder, stored, "encoder/continuous_inputs_projection/kernel")
    rows, _ = _matrix(folder, stored, "decoder/token_embedder/embedding")
    _, inner = _matrix(folder, stored, "encoder/layers_0/attention/query/kernel")
    _, mlp_width = _matrix(folder, stored, "encoder/layers_0/mlp/wi_0/kernel")
    if inner % head_width:
        raise CheckpointError(folder, f"heads of width {head_width}", f"{inner} for all heads")
    return model_config(
        folder,
        width=width,
        heads=inner // head_width,
        head_width=head_width,
        mlp_width=mlp_width,
        encoder_layers=_count_layers(stored, "encoder"),
        decoder_layers=_count_layers(stored, "decoder"),
        vocabulary_size=rows,
        note_tokens=MAX_TOKENS,
        target_frames=SEGMENT_FRAMES,
        context_frames=0,
        mel_bins=mel_bins,
    )


def _matrix(folder: Path, stored: Mapping[str, StoredArray], name: str) -> Shape:
    if name not in stored:
        raise CheckpointError(folder, _WANTED, f"one without {name}")
    shape = stored[name].shape
    if len(shape) != 2 or not math.prod(shape):
        raise CheckpointError(folder, f"{name} as a matrix", f"shape {shape}")
    return shape


def _count_layers(names: Iterable[str], stack: str) -> int:
    # The highest number, so that a gap is reported as a missing layer.
    numbers = (re.match(rf"{stack}/layers_([0-9]{{1,3}})/", name) for name in names)
    return 1 + max((int(match[1]) for match in numbers if match), default=-1)
