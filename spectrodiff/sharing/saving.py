"""Saving of a synthesizer to a folder that can be loaded or uploaded."""

import os
from pathlib import Path
from typing import get_args

from spectrodiff.core.config import require
from spectrodiff.core.constants import StoredType
from spectrodiff.core.files import temporary_folder
from spectrodiff.inverter import Inverter, OnnxInverter
from spectrodiff.inverter.files import save_inverter
from spectrodiff.inverter.score_phases import plain
from spectrodiff.inverter.trained import TrainedInverter
from spectrodiff.sharing.folder import Sharing, write_folder
from spectrodiff.synthesis.synthesizer import Synthesizer


def save(
    synth: Synthesizer,
    folder: str | os.PathLike[str],
    *,
    license: str = "",
    dtype: StoredType = "float32",
) -> None:
    """Writes a synthesizer to a new folder: weights, settings, inverter and a model card.

    `spectrodiff.load` reads the folder, also from a repository of the Hub that it was uploaded to.
    A synthesizer of precision "bfloat16" has rounded parameters: save one of "float32".

    Args:
        synth: the synthesizer. Its inverter is stored if it is an ONNX graph or was trained here;
            whether it takes phases from the notes is not.
        folder: new or empty folder.
        license: identifier of the license of the weights, such as "cc-by-4.0", for the card.
        dtype: type of the stored parameters; 16-bit types halve the size.

    Raises:
        ConfigError: if the license is no text, or there is no such type.
        CheckpointError: if a parameter is too large for float16.
        OutputError: if the folder cannot be written.
    """
    types = get_args(StoredType)
    require(dtype in types, "dtype", f"one of {', '.join(types)}", dtype)
    require(isinstance(license, str), "license", "a name such as 'cc-by-4.0'", license)
    folder = Path(folder)
    with temporary_folder() as temporary:
        inverter = _file_of(synth.inverter, temporary)
        sharing = Sharing(title=folder.name, license=license, dtype=dtype, inverter=inverter)
        write_folder(synth.checkpoint, sharing, folder)


def _file_of(inverter: Inverter, folder: Path) -> Path | None:
    inverter = plain(inverter)
    if isinstance(inverter, OnnxInverter):
        return inverter.path
    if not isinstance(inverter, TrainedInverter):
        return None
    path = folder / "inverter.safetensors"
    save_inverter(inverter.stored, path)
    return path
