"""Training of the paper's autoregressive baseline: each frame from the true frames before it."""

import dataclasses
from typing import Any

import jax
from jax.sharding import Mesh

from spectrodiff.checkpoints.model import Description, as_json
from spectrodiff.core.config import require
from spectrodiff.diffusion.parameterization import Prediction
from spectrodiff.models.autoregressive import Autoregressor, loss
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.definition import define, init_params
from spectrodiff.synthesis.segments.autoregressive import AutoregressiveSegments
from spectrodiff.synthesis.segments.model import SegmentModel
from spectrodiff.training.examples import Examples
from spectrodiff.training.task import Params, RunSettings, Scores, TaskSettings
from spectrodiff.training.tasks.shared import SynthesizerTask

# Part of every model's description, used by denoisers only.
_PREDICTION: Prediction = "eps"
_SCHEDULE = "cosine"


@dataclasses.dataclass(frozen=True)
class Autoregression(TaskSettings):
    """Settings of the autoregressive baseline; there are none besides the network's."""

    def description(self, run: RunSettings) -> dict[str, Any]:
        """Returns the description of the network, as JSON."""
        settings = _PREDICTION, _SCHEDULE, run.tokenization, run.sampling
        return as_json(Description(self._config(run), *settings))

    def make(self, run: RunSettings) -> "Autoregress":
        """Makes the task with the network, precision and tokenization of a run."""
        initialization = run.network.initialization
        what = "'t5' for an autoregressive network"
        require(initialization == "t5", "Network.initialization", what, initialization)
        return Autoregress(
            config=self._config(run),
            dtype=run.training.dtype,
            remat=run.training.remat,
            tokenization=run.tokenization,
        )

    def _config(self, run: RunSettings) -> ModelConfig:
        return dataclasses.replace(run.network.config(run.tokenization), kind="autoregressive")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Autoregress(SynthesizerTask):
    """Squared error of the next frame; nothing but dropout is random."""

    def init_params(self, seed: int) -> Params:
        """Returns random parameters."""
        return init_params(Autoregressor, self.config, seed)

    def loss(self, params: Params, examples: Examples, key: jax.Array) -> Scores:
        """Returns the mean loss with dropout."""
        return {"loss": self._errors(params, examples.tokens, examples, key).mean()}

    def scores(self, params: Params, examples: Examples, keys: jax.Array) -> Scores:
        """Returns the loss without dropout; the keys are not used."""
        del keys
        return {"loss": self._errors(params, examples.tokens, examples)}

    def notes_gap(
        self, params: Params, examples: Examples, other_tokens: jax.Array, keys: jax.Array
    ) -> Scores:
        """Returns the loss with another example's notes minus the loss with its own."""
        del keys
        own = self._errors(params, examples.tokens, examples)
        return {"notes_gap": self._errors(params, other_tokens, examples) - own}

    def segment_model(self, params: Params, mesh: Mesh) -> SegmentModel:
        """Returns the network, ready to generate segments frame by frame."""
        return AutoregressiveSegments(self.config, params, dtype=self.dtype, mesh=mesh)

    def _errors(
        self, params: Params, tokens: jax.Array, examples: Examples, key: jax.Array | None = None
    ) -> jax.Array:
        network = define(Autoregressor, self.config, dtype=self.dtype, remat=self.remat)
        return loss(network.merge(params), tokens, examples.log_mel, key=key)
