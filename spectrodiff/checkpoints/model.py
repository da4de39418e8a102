"""Models: trained parameters with all settings that training and synthesis share."""

import dataclasses
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from spectrodiff.checkpoints.settings import (
    PREDICTIONS,
    choose,
    model_config,
    read_schedule,
    read_settings,
    require,
)
from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.json_files import read_json
from spectrodiff.diffusion.parameterization import Prediction, estimates
from spectrodiff.diffusion.sampling import PAPER_SAMPLING, Sampling
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.definition import Params
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION, Tokenization

# Formats of `model.json` and `run.json`. Format 1 has no sampling settings; of the tokenization,
# `model.json` has the velocity bins only, and `run.json` the rest among the settings of the data.
# Formats 2 to 4 lack the settings that `_SINCE` has under later formats; later settings of the
# network have defaults.
FORMATS = (1, 2, 3, 4, 5)
_SINCE: dict[int, dict[str, dict[str, Any]]] = {
    3: {"tokenization": {"onsets_only": False}, "sampling": {"mask_context": False}},
    4: {
        "sampling": {
            "spacing": "time",
            "times": None,
            "start": 1.0,
            "guidance_times": (0.0, 1.0),
            "context_guidance": None,
        }
    },
    5: {"sampling": {"overlap": 0}},
}

Json = dict[str, Any]


class Description(NamedTuple):
    """Settings of a model, as `model.json` and `run.json` hold them."""

    config: ModelConfig
    prediction: Prediction
    schedule: str
    tokenization: Tokenization
    sampling: Sampling


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained network with all settings that training and synthesis share.

    Attributes:
        config: sizes of the network.
        params: float32 arrays with the names and shapes of `expected_shapes(config)`.
        prediction: quantity that the network predicts: "eps", "x0", "v" or "x0_and_eps".
        schedule: noise schedule, a name that `make_schedule` takes.
        tokenization: how notes become tokens.
        sampling: sampling settings that it is used with by default.
        inverter: the model's own inverter, an .onnx or .safetensors file, if it has one.
        layout: file layout that it was read from, for messages.
        name: name of the model, for messages.
    """

    config: ModelConfig
    params: Params
    prediction: Prediction = "eps"
    schedule: str = "cosine"
    tokenization: Tokenization = RELEASED_TOKENIZATION
    sampling: Sampling = PAPER_SAMPLING
    inverter: Path | None = None
    layout: str = "spectrodiff"
    name: str = "the model"

    @property
    def description(self) -> Description:
        """Settings without the parameters."""
        return Description(
            self.config, self.prediction, self.schedule, self.tokenization, self.sampling
        )


def as_json(description: Description) -> Json:
    """Converts a description to JSON values in the newest format."""
    return {
        "format": FORMATS[-1],
        "model": dataclasses.asdict(description.config),
        "prediction": description.prediction,
        "schedule": description.schedule,
        "tokenization": dataclasses.asdict(description.tokenization),
        "sampling": dataclasses.asdict(description.sampling),
    }


def read_formatted(path: Path) -> Json:
    """Reads the JSON object in a file of any known format.

    Raises:
        CheckpointError: if there is none, or its format is unknown.
    """
    values = read_json(path)
    choose(path, "format", values.get("format"), {number: number for number in FORMATS})
    return values


def read_description(
    path: Path, values: Json, tokenization_of_format_1: Callable[[Json], Json]
) -> Description:
    """Reads the description of a model from a JSON object, ignoring other entries.

    Args:
        path: file name, for errors.
        values: result of `read_formatted`.
        tokenization_of_format_1: finds the tokenization settings in an object of format 1.

    Raises:
        CheckpointError: if settings are missing or invalid.
    """
    first = values["format"] == 1
    sizes = values.get("model")
    if "inverter" in values:
        expected = "a model that renders notes"
        raise CheckpointError(path, expected, "a run that trains an inverter (see --inverter)")
    if not isinstance(sizes, dict):
        raise CheckpointError(path, "the sizes of a network", reprlib.repr(sizes))
    if not first:
        values = {**values, **_with_later_settings(values)}
    tokenization = tokenization_of_format_1(values) if first else values.get("tokenization")
    sampling = {} if first else values.get("sampling")
    config = model_config(path, **sizes)
    prediction = choose(path, "prediction", values.get("prediction"), PREDICTIONS)
    if config.kind == "diffusion":
        require(path, "ModelConfig.estimates", config.estimates, estimates(prediction))
    return Description(
        config,
        prediction,
        read_schedule(path, values.get("schedule")),
        read_settings(path, Tokenization, tokenization, partly=first),
        read_settings(path, Sampling, sampling, partly=first),
    )


def _with_later_settings(values: Json) -> Json:
    """Returns the settings of tokenization and sampling, also those that their format lacks."""
    settings = {
        name: values[name]
        for name in ("tokenization", "sampling")
        if isinstance(values.get(name), dict)
    }
    for number, later in _SINCE.items():
        if values["format"] < number:
            settings = {name: {**later.get(name, {}), **own} for name, own in settings.items()}
    return settings
