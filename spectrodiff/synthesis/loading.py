"""Loading of a synthesizer by the name of a model."""

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.core.parallel import make_mesh, replicated
from spectrodiff.inverter import Inverter, ScorePhases
from spectrodiff.inverter.loading import GRIFFIN_LIM, default_name, open_inverter
from spectrodiff.inverter.score_phases import plain
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.synthesis.parameters import place
from spectrodiff.synthesis.synthesizer import Synthesizer

logger = logging.getLogger(__name__)


def load(
    model: str | os.PathLike[str],
    *,
    inverter: str | os.PathLike[str] | Inverter | None = None,
    score_phases: bool | None = None,
    precision: str = "float32",
    devices: Sequence[jax.Device] | None = None,
    tokenization: Tokenization | Mapping[str, Any] | None = None,
) -> Synthesizer:
    """Loads a model for rendering.

    Args:
        model: a bundled or published name, a folder in our own layout or any released one, the URL
            of a zip or of a folder, or a Hub id (see
            `spectrodiff.checkpoints.resolve.open_checkpoint`).
        inverter: an ONNX or safetensors file, the folder of a run that trained one, "griffin-lim",
            or any callable that satisfies `spectrodiff.inverter.Inverter`. By default the model's
            own, else the bundled one, else Griffin-Lim.
        score_phases: whether tones get their phases from the notes
            (`spectrodiff.inverter.ScorePhases`). By default, those of the bundled inverter do, and
            of others of its kind that were trained here, but for ONNX files; an inverter that is
            no file is taken as it is.
        precision: "float32", or "bfloat16" for devices that are faster with it.
        devices: devices to compute on; by default all of JAX's default kind. Songs of a batch are
            divided among them; a single song uses the first.
        tokenization: replaces the model's own, or some of its fields, such as
            {"program_map": "full"}.

    Returns:
        The synthesizer, with its parameters on the devices.

    Raises:
        CheckpointError: if the model or inverter is missing, damaged, or unsafe to read.
        ConfigError: for another precision, or an impossible tokenization.
    """
    checkpoint = open_checkpoint(model)
    if isinstance(tokenization, Tokenization):
        tokenization = dataclasses.asdict(tokenization)
    own = checkpoint.tokenization.but(tokenization or {})
    checkpoint = dataclasses.replace(checkpoint, tokenization=own)
    devices = list(devices or jax.devices())
    params = place(checkpoint.params, replicated(make_mesh(devices)), precision, consume=True)
    checkpoint = dataclasses.replace(checkpoint, params=params)
    chosen = make_inverter(inverter, checkpoint, devices[0].platform, score_phases=score_phases)
    return Synthesizer(checkpoint, chosen, precision=precision, devices=devices)


def make_inverter(
    inverter: str | os.PathLike[str] | Inverter | None,
    checkpoint: Checkpoint | None,
    platform: str,
    *,
    score_phases: bool | None = None,
) -> Inverter:
    """Returns the inverter asked for, or the best available; warns if that is Griffin-Lim.

    Args:
        inverter: as `load` takes it.
        checkpoint: model whose inverter is the default; None if there is no model.
        platform: "cpu", "gpu" or "tpu".
        score_phases: as `load` takes it.
    """
    if inverter is None:
        inverter = (checkpoint and checkpoint.inverter) or default_name()
        if inverter == GRIFFIN_LIM:
            logger.warning(
                "the model has no spectrogram inverter; using Griffin-Lim, which sounds rougher"
            )
    if isinstance(inverter, str | os.PathLike):
        inverter = open_inverter(inverter, platform)
        score_phases = inverter.needs_phases if score_phases is None else score_phases
    if score_phases is None:
        return inverter
    return ScorePhases(plain(inverter)) if score_phases else plain(inverter)
