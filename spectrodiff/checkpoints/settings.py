"""Settings read from the configuration files of checkpoints, and their validation."""

import dataclasses
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.models.config import ModelConfig
from spectrodiff.music.vocabulary import Vocabulary

T = TypeVar("T")

# Rows of the token embedding by number of velocity bins in the released models, and the reverse.
EMBEDDING_ROWS = {bins: Vocabulary(bins).embedding_rows for bins in (1, 127)}
VELOCITY_BINS = {rows: bins for bins, rows in EMBEDDING_ROWS.items()}

# How far the network stretches the diffusion time; in ours it is not a setting.
TIME_SCALE = 20_000.0


def model_config(path: Path, /, **sizes: Any) -> ModelConfig:
    """Returns the sizes that were read from `path`; CheckpointError if they are impossible."""
    try:
        return ModelConfig(**sizes)
    except ConfigError as error:
        raise CheckpointError(path, f"{error.subject} {error.expected}", error.got) from None
    except TypeError as error:
        raise CheckpointError(path, "the sizes of a network", str(error)) from None


def read_settings(path: Path, settings: type[T], values: Any, *, partly: bool = False) -> T:
    """Returns a frozen dataclass with values that were read from `path`.

    Args:
        path: for errors.
        settings: the dataclass.
        values: by the names of its fields.
        partly: whether some may be missing, which keep their default.

    Raises:
        CheckpointError: if they are no such settings, not all of them, or impossible ones.
    """
    if not isinstance(values, dict):
        raise CheckpointError(path, f"a {settings.__name__.lower()}", reprlib.repr(values))
    names = {field.name for field in dataclasses.fields(cast(Any, settings))}
    if not partly and (missing := sorted(names - values.keys())):
        raise CheckpointError(path, f"{settings.__name__}.{missing[0]}", "none")
    try:
        return settings(**values)
    except ConfigError as error:
        raise CheckpointError(path, f"{error.subject}: {error.expected}", error.got) from None
    except TypeError as error:
        raise CheckpointError(path, f"a {settings.__name__.lower()}", str(error)) from None


def choose(path: Path, name: str, value: Any, choices: Mapping[Any, T]) -> T:
    """Returns what the value of a setting stands for; CheckpointError if it is none of these."""
    for choice, meaning in choices.items():
        # Not a look-up: the value may be of any type. And True is not 1.
        if value == choice and isinstance(value, bool) == isinstance(choice, bool):
            return meaning
    raise CheckpointError(path, f"{name} = {' or '.join(map(repr, choices))}", reprlib.repr(value))


def require(path: Path, name: str, value: Any, wanted: Any) -> None:
    """Raises CheckpointError unless a setting has the one value that will do."""
    choose(path, name, value, {wanted: None})
