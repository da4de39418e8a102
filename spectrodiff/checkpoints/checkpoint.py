"""What a synthesiser is built from, whichever file layout it came out of."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from spectrodiff.models.config import ModelConfig

Params = dict[str, Any]  # nested: names to dicts or arrays

Prediction = Literal["eps", "x0", "v"]
Schedule = Literal["cosine", "linear"]


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained network with the settings it was trained under."""

    config: ModelConfig
    params: Params  # float32 arrays with the names and shapes of `expected_shapes(config)`
    prediction: Prediction = "eps"  # what the network's output stands for
    schedule: Schedule = "cosine"  # of the noise
    velocity_bins: int = 1  # V of the vocabulary
    inverter: Path | None = None  # an ONNX file that turns features into audio
    layout: str = "spectrodiff"  # the file layout it was read from, in words
