"""Inverters in files: a safetensors file with the sizes in its metadata, or a training run.

Names, shapes and values are checked against the sizes.
"""

import json
import reprlib
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from spectrodiff.checkpoints.layouts.safetensors_file import (
    read_metadata,
    read_safetensors,
    write_safetensors,
)
from spectrodiff.checkpoints.run_folder import SETTINGS as RUN_SETTINGS
from spectrodiff.checkpoints.run_folder import find_run, read_params, run_of
from spectrodiff.checkpoints.tree import assemble_tree, flatten
from spectrodiff.core.errors import CheckpointError, ConfigError, OutputError
from spectrodiff.core.files import atomic_file
from spectrodiff.core.json_files import read_json
from spectrodiff.core.suggestions import beside, did_you_mean
from spectrodiff.inverter.config import InverterConfig, as_dict, from_dict
from spectrodiff.inverter.networks.generators import generator_of
from spectrodiff.models.definition import Params, define

SUFFIX = ".safetensors"
# Key of the sizes, as JSON, in the file's metadata.
METADATA = "spectrodiff_inverter"
# Key of the generator's parameters in those of a run.
GENERATOR = "generator"

StoredType = Literal["float32", "float16"]


class StoredInverter(NamedTuple):
    """Sizes and parameters of an inverter."""

    config: InverterConfig
    params: Params  # float32


def save_inverter(inverter: StoredInverter, path: Path, dtype: StoredType = "float32") -> None:
    """Writes one safetensors file atomically.

    Args:
        inverter: sizes and parameters.
        path: file name ending in .safetensors.
        dtype: type of the stored parameters; they are converted to float32 when loaded.

    Raises:
        CheckpointError: if a parameter is NaN, infinite, or too large for float16.
        OutputError: if the file cannot be written.
    """
    if path.suffix.lower() != SUFFIX:
        raise OutputError(path, f"a file name ending in {SUFFIX}", repr(path.suffix))
    arrays = flatten(inverter.params)
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise CheckpointError(name, "finite values", "NaN or infinity")
    metadata = {METADATA: json.dumps(as_dict(inverter.config))}
    with atomic_file(path) as temporary:
        write_safetensors(temporary, arrays, dtype, metadata, subject=path)


def load_inverter(path: Path) -> StoredInverter:
    """Reads a safetensors file, a run folder, or one of the run's checkpoints.

    Raises:
        CheckpointError: if there is no inverter, or it is invalid.
    """
    if path.is_dir():
        return _load_run(path)
    if not path.is_file():
        expected = f"an inverter ({SUFFIX} file or training run)"
        near = did_you_mean(str(path), beside(path))
        raise CheckpointError(path, expected, f"no such file{near}")
    text = read_metadata(path).get(METADATA)
    if text is None:
        raise CheckpointError(path, f"{METADATA} in its metadata", "none")
    try:
        sizes = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, f"JSON as {METADATA}", str(error)) from None
    config = _config(path, sizes)
    shapes = define(generator_of(config), config).named_shapes
    names = {name: name for name in shapes}
    params = assemble_tree(path, shapes, names, read_safetensors(path))
    for name, values in flatten(params).items():
        if not np.isfinite(values).all():
            raise CheckpointError(path, f"finite values in {name}", "NaN or infinity")
    return StoredInverter(config, params)


def _load_run(path: Path) -> StoredInverter:
    if find_run(path) is None:
        raise CheckpointError(path, "a run folder", f"one without {RUN_SETTINGS}")
    source = run_of(path) / RUN_SETTINGS
    sizes = read_json(source).get("inverter")
    if sizes is None:
        raise CheckpointError(source, "a run that trains an inverter", "one of a synthesizer")
    config = _config(source, sizes)
    generator = define(generator_of(config), config).named_shapes
    shapes = {f"{GENERATOR}/{name}": shape for name, shape in generator.items()}
    params: Params = read_params(path, shapes, partly=True).params[GENERATOR]
    return StoredInverter(config, params)


def _config(path: Path, sizes: object) -> InverterConfig:
    if not isinstance(sizes, dict):
        raise CheckpointError(path, "the sizes of an inverter", reprlib.repr(sizes))
    try:
        return from_dict(sizes)
    except ConfigError as error:
        raise CheckpointError(path, f"{error.subject} {error.expected}", error.got) from None
