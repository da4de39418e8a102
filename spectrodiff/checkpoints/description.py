"""The settings of a model as `model.json` and `run.json` hold them."""

import dataclasses
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args

from spectrodiff.checkpoints.settings import choose, model_config, read_settings
from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.json_files import read_json
from spectrodiff.diffusion.parameterization import Prediction
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.diffusion.schedule import ScheduleName
from spectrodiff.models.config import ModelConfig
from spectrodiff.music.tokenization import Tokenization

# Format 1 has no sampling, and keeps what it has of the tokenization in other places.
FORMATS = (1, 2)

Json = dict[str, Any]


class Description(NamedTuple):
    """Everything about a model but its parameters; the fields are those of `Checkpoint`."""

    config: ModelConfig
    prediction: Prediction
    schedule: ScheduleName
    tokenization: Tokenization
    sampling: Sampling


def as_json(description: Description) -> Json:
    """A description as JSON can hold it, in the newest format."""
    return {
        "format": FORMATS[-1],
        "model": dataclasses.asdict(description.config),
        "prediction": description.prediction,
        "schedule": description.schedule,
        "tokenization": dataclasses.asdict(description.tokenization),
        "sampling": dataclasses.asdict(description.sampling),
    }


def read_formatted(path: Path) -> Json:
    """Reads the JSON object in a file of any format that there has been.

    Raises:
        CheckpointError: if there is none, or it is of a later format.
    """
    values = read_json(path)
    choose(path, "format", values.get("format"), {number: number for number in FORMATS})
    return values


def read_description(
    path: Path, values: Json, first_tokenization: Callable[[Json], Json]
) -> Description:
    """Finds the description of a model in a JSON object, which may hold more.

    Args:
        path: of the file, for errors.
        values: what `read_formatted` made of it.
        first_tokenization: finds the tokenization in an object of format 1.

    Raises:
        CheckpointError: if something is missing or impossible.
    """
    first = values["format"] == 1
    sizes = values.get("model")
    if "inverter" in values:
        expected = "a model that renders notes"
        raise CheckpointError(path, expected, "a run that trains an inverter (see --inverter)")
    if not isinstance(sizes, dict):
        raise CheckpointError(path, "the sizes of a network", reprlib.repr(sizes))
    tokenization = first_tokenization(values) if first else values.get("tokenization")
    sampling = {} if first else values.get("sampling")

    def choice(name: str, choices: tuple[Any, ...]) -> Any:
        return choose(path, name, values.get(name), dict(zip(choices, choices, strict=True)))

    return Description(
        model_config(path, **sizes),
        choice("prediction", get_args(Prediction)),
        choice("schedule", get_args(ScheduleName)),
        read_settings(path, Tokenization, tokenization, partly=first),
        read_settings(path, Sampling, sampling, partly=first),
    )
