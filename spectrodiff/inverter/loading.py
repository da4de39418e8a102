"""Opening of inverters by name or file."""

import os
from pathlib import Path

import jax

from spectrodiff.checkpoints.bundled import bundled_inverter
from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.suggestions import beside, did_you_mean
from spectrodiff.inverter.base import Inverter
from spectrodiff.inverter.files import SUFFIX, load_inverter
from spectrodiff.inverter.griffin_lim import GriffinLim
from spectrodiff.inverter.onnx import OnnxInverter
from spectrodiff.inverter.trained import trained_inverter

GRIFFIN_LIM = "griffin-lim"


def open_inverter(name: str | os.PathLike[str], platform: str | None = None) -> Inverter:
    """Opens an inverter.

    Args:
        name: "griffin-lim", a .safetensors or .onnx file, or a run folder.
        platform: "cpu", "gpu" or "tpu"; JAX's default if None.

    Raises:
        CheckpointError: if there is no inverter, or it is invalid.
    """
    if name == GRIFFIN_LIM:
        return GriffinLim()
    path, device = Path(name).expanduser(), jax.devices(platform)[0]
    if not path.exists():
        raise CheckpointError(
            name,
            f"{GRIFFIN_LIM!r}, an inverter in a {SUFFIX} or .onnx file, or a run folder",
            "no such file" + did_you_mean(os.fspath(name), [GRIFFIN_LIM, *beside(name)]),
        )
    if path.is_dir() or path.suffix.lower() == SUFFIX:
        return trained_inverter(load_inverter(path), device)
    return OnnxInverter(path, device="gpu" if device.platform == "gpu" else "cpu")


def default_name() -> str:
    """Returns the name of the default inverter for `open_inverter`.

    The default is the inverter that comes with the package, or Griffin-Lim if none does.
    """
    return str(bundled_inverter() or GRIFFIN_LIM)
