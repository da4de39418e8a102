"""Validation of settings that were read from files."""

import dataclasses
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.diffusion.parameterization import Prediction
from spectrodiff.diffusion.schedule import make_schedule
from spectrodiff.models.config import ModelConfig
from spectrodiff.music.vocabulary import Vocabulary

T = TypeVar("T")

MAX_SHOWN = 300  # characters of a value in an error

# Rows of the token embedding by number of velocity bins in the released models, and the inverse.
EMBEDDING_ROWS = {bins: Vocabulary(bins).embedding_rows for bins in (1, 127)}
VELOCITY_BINS = {rows: bins for bins, rows in EMBEDDING_ROWS.items()}

# Predictions by their names in all layouts.
PREDICTIONS: Mapping[str, Prediction] = {name: name for name in get_args(Prediction)}

# Factor of the diffusion time before its embedding; a constant in our network.
TIME_SCALE = 20_000.0


def model_config(path: Path, /, **sizes: Any) -> ModelConfig:
    """Returns the sizes that were read from `path`; CheckpointError if they are invalid."""
    try:
        return ModelConfig(**sizes)
    except ConfigError as error:
        got = _shortened(error.got)
        raise CheckpointError(path, f"{error.subject} {error.expected}", got) from None
    except TypeError as error:
        raise CheckpointError(path, "the sizes of a network", _shortened(str(error))) from None


def read_settings(path: Path, settings: type[T], values: Any, *, partly: bool = False) -> T:
    """Returns a frozen dataclass with values that were read from `path`.

    Args:
        path: file name, for errors.
        settings: dataclass.
        values: values by the names of its fields.
        partly: use defaults for missing values.

    Raises:
        CheckpointError: if values are missing, unknown or invalid.
    """
    if not isinstance(values, dict):
        raise CheckpointError(path, f"a {settings.__name__.lower()}", reprlib.repr(values))
    names = {field.name for field in dataclasses.fields(cast(Any, settings))}
    if not partly and (missing := sorted(names - values.keys())):
        raise CheckpointError(path, f"{settings.__name__}.{missing[0]}", "none")
    try:
        return settings(**values)
    except ConfigError as error:
        expected = _shortened(f"{error.subject}: {error.expected}")
        raise CheckpointError(path, expected, _shortened(error.got)) from None
    except TypeError as error:
        got = _shortened(str(error))
        raise CheckpointError(path, f"a {settings.__name__.lower()}", got) from None


def _shortened(text: str) -> str:
    """Returns the beginning of a text that may repeat a whole file."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def read_schedule(path: Path, name: Any) -> str:
    """Returns the name of a schedule that was read from `path`; CheckpointError for others."""
    try:
        make_schedule(name if isinstance(name, str) else "")
    except ConfigError as error:
        raise CheckpointError(path, f"a schedule: {error.expected}", reprlib.repr(name)) from None
    return str(name)


def choose(path: Path, name: str, value: Any, choices: Mapping[Any, T]) -> T:
    """Returns the entry of `choices` for the value of a setting; CheckpointError without one."""
    for choice, meaning in choices.items():
        # No lookup, since the value can be of any type; True does not count as 1.
        if value == choice and isinstance(value, bool) == isinstance(choice, bool):
            return meaning
    raise CheckpointError(path, f"{name} = {' or '.join(map(repr, choices))}", reprlib.repr(value))


def require(path: Path, name: str, value: Any, wanted: Any) -> None:
    """Raises CheckpointError unless a setting has the only supported value."""
    # Not by `choose`, since what is wanted can come from another file, and be of any type.
    if value != wanted or isinstance(value, bool) != isinstance(wanted, bool):
        raise CheckpointError(path, f"{name} = {reprlib.repr(wanted)}", reprlib.repr(value))
