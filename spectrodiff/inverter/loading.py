"""Inverters from what a user names them by."""

import os
from pathlib import Path

import jax

from spectrodiff.checkpoints.bundled import bundled_inverter
from spectrodiff.inverter.base import Inverter
from spectrodiff.inverter.files import SUFFIX, load_inverter
from spectrodiff.inverter.griffin_lim import GriffinLim
from spectrodiff.inverter.onnx import OnnxInverter
from spectrodiff.inverter.trained import TrainedInverter

GRIFFIN_LIM = "griffin-lim"


def open_inverter(name: str | os.PathLike[str], platform: str | None = None) -> Inverter:
    """Opens an inverter.

    Args:
        name: "griffin-lim", a .safetensors or .onnx file, or the folder of a training run.
        platform: where to compute, "cpu", "gpu" or "tpu"; by default JAX's fastest.

    Raises:
        CheckpointError: if there is none, or something is wrong with it.
    """
    if name == GRIFFIN_LIM:
        return GriffinLim()
    path, device = Path(name).expanduser(), jax.devices(platform)[0]
    if path.is_dir() or path.suffix == SUFFIX:
        return TrainedInverter(load_inverter(path), device)
    return OnnxInverter(path, device="gpu" if device.platform == "gpu" else "cpu")


def default_name() -> str:
    """Of the inverter that is used where no other is given, as `open_inverter` takes it.

    That is the one that comes with the package, and Griffin-Lim if none does.
    """
    return str(bundled_inverter() or GRIFFIN_LIM)
