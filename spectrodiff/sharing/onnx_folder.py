"""Export of a model to a folder of ONNX graphs, with a script that renders them.

The folder has a graph per network, an inverter, `settings.json`, and `render.py`, which needs NumPy
and ONNX Runtime only. The settings hold the sampler's steps as numbers.
"""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.tree import flatten
from spectrodiff.core.config import require
from spectrodiff.core.constants import HOP_SAMPLES, MAX_LOG_MEL, MIN_LOG_MEL, SAMPLE_RATE
from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.core.extras import need_extra
from spectrodiff.core.files import atomic_folder
from spectrodiff.diffusion.guidance import Branches
from spectrodiff.diffusion.parameterization import Prediction
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.diffusion.schedule import Schedule, make_schedule
from spectrodiff.inverter.onnx import open_session
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.definition import define
from spectrodiff.models.denoiser import Denoiser
from spectrodiff.sharing import render_with_onnx
from spectrodiff.sharing.inverters import store_as_onnx
from spectrodiff.sharing.networks_onnx import context_encoder, decoder, notes_encoder
from spectrodiff.sharing.privacy import without_folders
from spectrodiff.synthesis.segments.model import overlap_of

SETTINGS, SCRIPT = "settings.json", "render.py"
# Largest difference of outputs, which are of the size of unit noise.
TOLERANCE = 1e-4
# Protocol buffers are limited to 2 GB, some of which are names.
MAX_BYTES = 2_000_000_000


def save_onnx(checkpoint: Checkpoint, folder: Path, inverter: Path | None = None) -> None:
    """Writes a model as ONNX graphs to a new folder, and checks that they compute the same.

    Args:
        checkpoint: model to write.
        folder: new or empty folder.
        inverter: file or run folder of the inverter. Without one, or with a recurrent one, which
            is left out, the script writes log-mel features instead of audio.

    Raises:
        ConfigError: if the package onnx is not installed, the model is autoregressive, or one of
            its networks has 2 GB or more.
        CheckpointError: if a graph computes something else than the network.
        OutputError: if the folder cannot be written.
    """
    need_extra("export to ONNX", "export")
    config = checkpoint.config
    require(config.kind == "diffusion", "ModelConfig.kind", "'diffusion'", config.kind)
    _check_size(checkpoint)
    graphs = {"notes_encoder": notes_encoder, "decoder": decoder}
    if config.has_context:
        graphs["context_encoder"] = context_encoder
    with atomic_folder(folder) as partial:
        for name, graph in graphs.items():
            (partial / f"{name}.onnx").write_bytes(graph(checkpoint).SerializeToString())
        check_graphs(checkpoint, partial, folder)
        if inverter is not None:
            store_as_onnx(inverter, partial)
        text = json.dumps(settings_of(checkpoint), indent=1) + "\n"
        (partial / SETTINGS).write_text(text, encoding="utf-8")
        shutil.copyfile(render_with_onnx.__file__, partial / SCRIPT)


def settings_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns the settings that rendering needs, as JSON.

    For every step: `time`, the coefficients of z, x0, the x0 `before` and `noise` in the next z,
    those of z and the halves of the output in x0 (`x0_from`), and the `guidance` weights of the
    outputs from notes and context, from notes alone, and from neither.
    """
    config = checkpoint.config
    sampling = checkpoint.sampling.for_network(has_context=config.has_context)
    schedule = make_schedule(checkpoint.schedule)
    return {
        "name": without_folders(checkpoint.name),
        "sample_rate": SAMPLE_RATE,
        "hop_samples": HOP_SAMPLES,
        "log_mel_range": [MIN_LOG_MEL, MAX_LOG_MEL],
        "mel_bins": config.mel_bins,
        "note_tokens": config.note_tokens,
        "target_frames": config.target_frames,
        "context_frames": config.context_frames,
        "mask_context": sampling.mask_context,
        "overlap": overlap_of(sampling, config),
        "steps": _steps(checkpoint.prediction, sampling, schedule),
        "prediction": checkpoint.prediction,
        "schedule": checkpoint.schedule,
        "tokenization": dataclasses.asdict(checkpoint.tokenization),
        "sampling": dataclasses.asdict(sampling),
    }


def check_graphs(checkpoint: Checkpoint, folder: Path, subject: Path) -> None:
    """Checks that graphs and networks compute the same from random inputs, two at a time.

    Raises:
        CheckpointError: if they do not.
    """
    inputs = _random_inputs(checkpoint.config)
    network = define(Denoiser, checkpoint.config)
    compute = jax.jit(lambda params, inputs: network.merge(params)(**inputs))
    wanted = np.asarray(compute(checkpoint.params, inputs))
    difference = float(np.abs(_graph_output(checkpoint.config, folder, inputs) - wanted).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(wanted).max())):
        expected = f"an output that differs by less than {TOLERANCE:g}"
        raise CheckpointError(subject, expected, f"a difference of {difference:.3g}")


def _check_size(checkpoint: Checkpoint) -> None:
    for network in ("note_encoder", "context_encoder", "decoder"):
        arrays = flatten(checkpoint.params.get(network, {})).values()
        if (size := 4 * sum(array.size for array in arrays)) >= MAX_BYTES:
            got = f"a {network} of {size / 1e9:.1f} GB"
            raise ConfigError("export to ONNX", "networks of less than 2 GB each", got)


def _steps(prediction: Prediction, sampling: Sampling, schedule: Schedule) -> list[dict[str, Any]]:
    table = sampling.solver().table(schedule)
    columns = {name: np.asarray(values, float).tolist() for name, values in table._asdict().items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [
        {
            "time": row["time"],
            "guidance": _guidance(sampling, branches),
            "x0_from": _x0_from(prediction, row["alpha"], row["sigma"]),
            "z": row["z"],
            "x0": row["x0"],
            "before": row["previous_x0"],
            "noise": row["noise"] if sampling.solver().stochastic else 0.0,
        }
        for row, branches in zip(rows, sampling.branches(schedule), strict=True)
    ]


def _guidance(sampling: Sampling, branches: Branches) -> list[float]:
    """Returns the weights of the branches (see `guidance.guided`)."""
    notes, context = (float(weight) for weight in sampling.weights)
    if branches.notes:
        return [context, notes - context, (1.0 - notes) * branches.neither]
    return [notes, 0.0, 1.0 - notes] if branches.neither else [1.0, 0.0, 0.0]


def _x0_from(prediction: Prediction, alpha: float, sigma: float) -> list[float]:
    """Returns the coefficients of `parameterization.to_x0`."""
    return {
        "eps": [1 / alpha, -sigma / alpha, 0.0],
        "x0": [0.0, 1.0, 0.0],
        "v": [alpha, -sigma, 0.0],
        "x0_and_eps": [alpha, sigma**2, -alpha * sigma],
    }[prediction]


def _random_inputs(config: ModelConfig) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    notes = np.arange(config.note_tokens) < [[1], [max(config.note_tokens // 2, 1)]]
    frames = np.arange(config.context_frames) < [[0], [(config.context_frames + 1) // 2]]
    tokens = random.integers(3, config.vocabulary_size, notes.shape) * notes
    shape = (2, config.context_frames, config.mel_bins)
    return {
        "tokens": tokens.astype(np.int32),
        "context": random.uniform(-1, 1, shape).astype(np.float32),
        "context_mask": frames,
        "noisy": random.standard_normal((2, config.target_frames, config.mel_bins), np.float32),
        "time": np.array([0.2, 0.9], np.float32),
    }


def _graph_output(
    config: ModelConfig, folder: Path, inputs: Mapping[str, np.ndarray]
) -> np.ndarray:
    def run(name: str, given: Mapping[str, np.ndarray]) -> np.ndarray:
        output: np.ndarray = open_session(folder / f"{name}.onnx", "cpu").run(None, given)[0]
        return output

    given = {name: inputs[name] for name in ("noisy", "time")}
    given["notes_encoding"] = run("notes_encoder", {"tokens": inputs["tokens"]})
    given["notes_mask"] = inputs["tokens"] > 0
    if config.has_context:
        context = {name: inputs[name] for name in ("context", "context_mask")}
        given["context_encoding"] = run("context_encoder", context)
        given["context_mask"] = inputs["context_mask"]
    return run("decoder", given)
