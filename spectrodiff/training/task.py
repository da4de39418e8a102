"""The interface between training and what is trained.

The loop, the step, the state and the evaluation know tasks only through `Task`. A task knows
nothing of devices, optimizers or files. `loss` is random (times, noise, dropout, hidden
conditioning) and consumes its key; `scores` is deterministic: the scores of an example depend on
the parameters and on that example alone, not on the rest of the batch.
"""

import abc
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from spectrodiff.data.loading.examples import ExampleFormat
from spectrodiff.diffusion.sampling import PAPER_SAMPLING, Sampling
from spectrodiff.models.definition import Params
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION, Tokenization
from spectrodiff.training.examples import Examples, ExampleSizes
from spectrodiff.training.settings import Data, Network, Optimization, Training

Scores = dict[str, jax.Array]


class Rendered(NamedTuple):
    """Segments as the network in training renders them."""

    log_mel: np.ndarray  # unscaled features [B, F, M]
    audio: list[np.ndarray]  # float32 [samples] each


class Task(Protocol):
    """A network, the loss it is trained with, and the scores it is evaluated with.

    A class that inherits from it cannot be instantiated while a required method is missing.
    """

    @property
    @abc.abstractmethod
    def sizes(self) -> ExampleSizes:
        """Lengths of the examples to train on."""
        ...

    @property
    def uses_notes(self) -> bool:
        """True if examples need notes; without, audio files alone are a corpus."""
        return True

    @property
    def frozen(self) -> Params:
        """Arrays of other models that losses and scores need; neither trained nor saved.

        They are arguments of compiled programs, which would otherwise contain them as constants.
        """
        return {}

    @abc.abstractmethod
    def init_params(self, seed: int) -> Params:
        """Returns random parameters."""
        ...

    @abc.abstractmethod
    def load_params(self, model: str, params: Params) -> Params:
        """Returns parameters that continue a trained model.

        Args:
            model: anything that `spectrodiff.load`, or an inverter's loading, takes.
            params: initial parameters, kept where the model has none.

        Raises:
            CheckpointError: if the model cannot be read, or is of another size.
        """
        ...

    @abc.abstractmethod
    def loss(self, params: Params, examples: Examples, key: jax.Array) -> Scores:
        """Returns the mean loss of a batch under "loss", and its terms under their own names.

        Args:
            params: of the network, and those of `frozen` beside them.
            examples: a batch.
            key: consumed.
        """
        ...

    @abc.abstractmethod
    def scores(self, params: Params, examples: Examples, keys: jax.Array) -> Scores:
        """Returns one number per example, [B], for each name; "loss" is among the names.

        Args:
            params: of the network, and those of `frozen` beside them.
            examples: a batch.
            keys: one key per example, the same whenever the example is scored.
        """
        ...

    def notes_gap(
        self, params: Params, examples: Examples, other_tokens: jax.Array, keys: jax.Array
    ) -> Scores:
        """Returns how much worse each example, [B], gets with another example's notes."""
        return {}

    @abc.abstractmethod
    def render(self, params: Params, examples: Examples, keys: jax.Array, mesh: Mesh) -> Rendered:
        """Renders examples for previews; fast rather than good."""
        ...

    def warnings(self, losses: Mapping[str, float]) -> list[str]:
        """Returns warnings to log about the losses of a step."""
        return []


class TaskSettings(Protocol):
    """Settings of a task, a frozen dataclass that gin fills.

    Every field has a default, so that the settings of tasks that a run does not have can be left
    out.
    """

    @property
    def trains_sampling(self) -> bool:
        """True if a network is trained for the run's settings of `Sampling` in particular."""
        return False

    @abc.abstractmethod
    def description(self, run: "RunSettings") -> dict[str, Any]:
        """Returns the description of the network in a run folder, as JSON.

        `spectrodiff.load` reads the run by it: as a model that renders notes, from the JSON of a
        `checkpoints.model.Description`; or as an inverter, from an entry "inverter".
        """
        ...

    @abc.abstractmethod
    def make(self, run: "RunSettings") -> Task:
        """Makes the task with the network, precision and tokenization of a run."""
        ...


class RunSettings(NamedTuple):
    """All settings of a run."""

    network: Network
    task: TaskSettings
    optimization: Optimization
    training: Training
    data: Data
    tokenization: Tokenization = RELEASED_TOKENIZATION
    sampling: Sampling = PAPER_SAMPLING  # that the model will be used with

    def make_task(self) -> Task:
        """Makes the task of the run.

        Raises:
            ConfigError: if the settings do not go together.
        """
        return self.task.make(self)

    def example_format(self, sizes: ExampleSizes) -> ExampleFormat:
        """Returns how examples of some lengths are cut out of recordings."""
        return ExampleFormat(
            context_frames=sizes.context_frames,
            target_frames=sizes.target_frames,
            max_tokens=self.network.config(self.tokenization).note_tokens,
            tokenization=self.tokenization,
            overflow=self.data.overflow,
        )
