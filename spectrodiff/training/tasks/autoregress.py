"""Training of the paper's autoregressive baseline: each frame from the true frames before it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from spectrodiff.checkpoints.model import Description, as_json
from spectrodiff.core.config import require
from spectrodiff.diffusion.parameterization import Prediction
from spectrodiff.diffusion.schedule import ScheduleName
from spectrodiff.models.autoregressive import Autoregressor, loss
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.definition import define, init_params
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION, Tokenization
from spectrodiff.synthesis.segments.autoregressive import AutoregressiveSegments
from spectrodiff.synthesis.songs import SegmentModel
from spectrodiff.training.examples import Examples
from spectrodiff.training.task import Params, Rendered, RunSettings, Scores, Task
from spectrodiff.training.tasks.shared import load_synthesiser, render_examples

# Part of every model's description, used by denoisers only.
_PREDICTION: Prediction = "eps"
_SCHEDULE: ScheduleName = "cosine"


@dataclasses.dataclass(frozen=True)
class Autoregression:
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
        training = run.training
        return Autoregress(self._config(run), training.dtype, training.remat, run.tokenization)

    def _config(self, run: RunSettings) -> ModelConfig:
        return dataclasses.replace(run.network.config(run.tokenization), kind="autoregressive")


@dataclasses.dataclass(frozen=True)
class Autoregress(Task):
    """Squared error of the next frame; nothing but dropout is random.

    Attributes:
        config: sizes of the network.
        dtype: type of the matrix products.
        remat: recompute activations in the backward pass.
        tokenization: of the notes.
    """

    config: ModelConfig
    dtype: type = jnp.float32
    remat: bool = False
    tokenization: Tokenization = RELEASED_TOKENIZATION

    @property
    def sizes(self) -> ModelConfig:
        """Lengths of the examples: those of the network."""
        return self.config

    def init_params(self, seed: int) -> Params:
        """Returns random parameters."""
        return init_params(Autoregressor, self.config, seed)

    def load_params(self, model: str, params: Params) -> Params:
        """Returns the parameters of a trained model; see `load_synthesiser`."""
        return load_synthesiser(model, self.config, self.tokenization.vocabulary, params)

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

    def render(self, params: Params, examples: Examples, keys: jax.Array, mesh: Mesh) -> Rendered:
        """Renders examples frame by frame."""
        return render_examples(self.segment_model(params, mesh), examples, keys)

    def _errors(
        self, params: Params, tokens: jax.Array, examples: Examples, key: jax.Array | None = None
    ) -> jax.Array:
        network = define(Autoregressor, self.config, dtype=self.dtype, remat=self.remat)
        return loss(network.merge(params), tokens, examples.log_mel, key=key)
