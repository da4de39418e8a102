"""A model in memory: parameters and settings, whatever layout they were read from."""

import dataclasses
from pathlib import Path

from spectrodiff.checkpoints.description import Description
from spectrodiff.diffusion.parameterization import Prediction
from spectrodiff.diffusion.sampling import PAPER_SAMPLING, Sampling
from spectrodiff.diffusion.schedule import ScheduleName
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.definition import Params
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION, Tokenization


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained network with all settings that have to be the same in training and in use."""

    config: ModelConfig
    params: Params  # float32 arrays with the names and shapes of `expected_shapes(config)`
    prediction: Prediction = "eps"  # what the network's output stands for
    schedule: ScheduleName = "cosine"  # of the noise
    tokenization: Tokenization = RELEASED_TOKENIZATION  # how notes become its tokens
    sampling: Sampling = PAPER_SAMPLING  # how it is run where nothing else is asked for
    inverter: Path | None = None  # an ONNX file that turns features into audio
    layout: str = "spectrodiff"  # the file layout it was read from, in words
    name: str = "the model"  # what messages call it

    @property
    def description(self) -> Description:
        """The part that `model.json` and `run.json` hold."""
        return Description(*(getattr(self, name) for name in Description._fields))
