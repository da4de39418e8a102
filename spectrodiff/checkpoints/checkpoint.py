"""What a synthesiser is built from, whichever file layout it came out of."""

import dataclasses
from pathlib import Path
from typing import Any

from spectrodiff.diffusion.parameterization import Prediction
from spectrodiff.diffusion.schedule import ScheduleName
from spectrodiff.models.config import ModelConfig

Params = dict[str, Any]  # nested: names to dicts or arrays


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained network with the settings it was trained under."""

    config: ModelConfig
    params: Params  # float32 arrays with the names and shapes of `expected_shapes(config)`
    prediction: Prediction = "eps"  # what the network's output stands for
    schedule: ScheduleName = "cosine"  # of the noise
    velocity_bins: int = 1  # V of the vocabulary
    inverter: Path | None = None  # an ONNX file that turns features into audio
    layout: str = "spectrodiff"  # the file layout it was read from, in words
