"""Base of the tasks that train a synthesizer: starting from a model, rendering previews."""

import abc
import dataclasses
import logging
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from spectrodiff.audio.features import unscale
from spectrodiff.checkpoints.model import Checkpoint, Description
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.checkpoints.tree import flatten, nest
from spectrodiff.core.config import require
from spectrodiff.core.errors import CheckpointError
from spectrodiff.diffusion.parameterization import Prediction
from spectrodiff.diffusion.sampling import PAPER_SAMPLING, Sampling
from spectrodiff.diffusion.schedule import make_schedule
from spectrodiff.inverter import GriffinLim
from spectrodiff.models.config import ModelConfig
from spectrodiff.music.instruments import instrument
from spectrodiff.music.programs import map_program_numbers
from spectrodiff.music.substitution import Register, choose
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION, Tokenization
from spectrodiff.music.vocabulary import Vocabulary
from spectrodiff.synthesis.segments.diffusion import DiffusionSegments
from spectrodiff.synthesis.segments.model import SegmentBatch, SegmentModel, overlap_of
from spectrodiff.training.examples import Examples
from spectrodiff.training.optimizers import FIXED
from spectrodiff.training.task import Params, Rendered, Task

logger = logging.getLogger(__name__)

# Fields that may differ when a run starts from another model's weights. Other lengths need other
# position tables, which are fixed and not learned; embeddings are carried over event by event.
_MAY_DIFFER = {"dropout", "vocabulary_size", "note_tokens", "target_frames", "context_frames"}
EMBEDDING = "note_encoder/embedding"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SynthesizerTask(Task):
    """A task whose network generates segments from notes and context.

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

    def load_params(self, model: str, params: Params) -> Params:
        """Returns the parameters of a trained model; see `fit_params`, and `check_start`."""
        checkpoint = open_checkpoint(model)
        fitted = fit_params(model, checkpoint, self.config, self.tokenization, params)
        self.check_start(model, checkpoint.description)
        return fitted

    def check_start(self, model: str, known: Description) -> None:
        """Checks that what is trained continues a model, apart from sizes."""

    @abc.abstractmethod
    def segment_model(self, params: Params, mesh: Mesh) -> SegmentModel:
        """Returns the network, ready to generate segments as the trained model will."""

    def render(self, params: Params, examples: Examples, keys: jax.Array, mesh: Mesh) -> Rendered:
        """Renders the segments of examples from their notes and true contexts.

        Args:
            params: of the network.
            examples: a batch.
            keys: one random key per example, [B].
            mesh: devices that the batch is split over.
        """
        context, mask = examples.context, examples.context_mask
        if context is None or mask is None:
            C, M = self.config.context_frames, self.config.mel_bins
            context, mask = jnp.zeros((len(keys), C, M)), jnp.zeros((len(keys), C), bool)
        batch = SegmentBatch(np.asarray(examples.tokens), context, np.asarray(mask), keys)
        log_mel = unscale(np.asarray(self.segment_model(params, mesh)(batch)))
        return Rendered(log_mel, [GriffinLim()(rows) for rows in log_mel])


class DiffusionSettings(Protocol):
    """Settings of tasks whose network denoises."""

    @property
    def prediction(self) -> Prediction:
        """Quantity that the network outputs."""
        ...

    @property
    def schedule(self) -> str:
        """Noise schedule, a name that `diffusion.schedule.make_schedule` takes."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusionTask(SynthesizerTask):
    """A task whose network denoises.

    Attributes:
        settings: loss and conditions.
        sampling: settings that the model will be used with, and previews are rendered with.
    """

    settings: DiffusionSettings
    sampling: Sampling = PAPER_SAMPLING

    def __post_init__(self) -> None:
        overlap_of(self.sampling, self.config)  # raises ConfigError if it is impossible

    def check_start(self, model: str, known: Description) -> None:
        """Checks prediction and noise schedule.

        Raises:
            ConfigError: if the model predicts another quantity, or has another noise schedule.
        """
        for name in ("prediction", "schedule"):
            ours, theirs = getattr(self.settings, name), getattr(known, name)
            expected = f"{theirs!r}, as in the model to start from, {model}"
            require(ours == theirs, f"{type(self.settings).__name__}.{name}", expected, ours)

    def segment_model(self, params: Params, mesh: Mesh) -> SegmentModel:
        """Returns the network with the sampling settings of the trained model."""
        return DiffusionSegments(
            self.config,
            params,
            schedule=make_schedule(self.settings.schedule),
            prediction=self.settings.prediction,
            sampling=self.sampling,
            dtype=self.dtype,
            mesh=mesh,
        )


def fit_params(
    model: str,
    checkpoint: Checkpoint,
    config: ModelConfig,
    tokenization: Tokenization,
    params: Params,
) -> Params:
    """Returns the parameters of a trained model, fitted to a network.

    A program that the trained model does not know starts as the one that replaces it in songs.

    Args:
        model: name of the trained model, for messages.
        checkpoint: the trained model.
        config: sizes of the network.
        tokenization: of the notes that the network will get.
        params: its initial parameters; position tables of another length are kept from them.

    Raises:
        CheckpointError: if the model is of another size.
    """
    theirs, vocabulary = checkpoint.tokenization.vocabulary, tokenization.vocabulary
    _check_config(model, checkpoint.config, config)
    if checkpoint.config.vocabulary_size < (rows := theirs.embedding_rows):
        expected = f"a vocabulary_size of {rows} for {theirs.velocity_bins} velocity bins"
        raise CheckpointError(model, expected, str(checkpoint.config.vocabulary_size))
    loaded, own = flatten(checkpoint.params), flatten(params)
    if theirs != vocabulary:
        bins = f"{theirs.velocity_bins} to {vocabulary.velocity_bins}"
        logger.info("%s: embeddings are carried over from %s velocity bins", model, bins)
    embedding = carry_embedding(loaded[EMBEDDING], own[EMBEDDING], theirs, vocabulary)
    for program, replaced_by in _replacements(checkpoint.tokenization, tokenization).items():
        new, known = vocabulary.encode("program", [program, replaced_by])
        embedding[new] = embedding[known]
    loaded[EMBEDDING] = embedding
    for name, values in own.items():
        if loaded[name].shape == values.shape:
            continue
        assert name.endswith(FIXED)
        # With the same seed the longer of two tables begins with the shorter one.
        logger.warning("%s: %s is initialized again with %d rows", model, name, len(values))
        loaded[name] = values
    return nest({name: np.asarray(loaded[name]) for name in own})


def carry_embedding(
    before: np.ndarray, fresh: np.ndarray, theirs: Vocabulary, ours: Vocabulary
) -> np.ndarray:
    """Returns a trained embedding for another vocabulary: each event keeps its row.

    Args:
        before: of the trained network, float [rows, D].
        fresh: of the new network before training, float [rows, D]; kept in rows without an event.
        theirs: vocabulary of the trained network.
        ours: vocabulary of the new network.

    Returns:
        Float32 [rows, D] of the new network. An unknown velocity starts as the nearest known one.
    """
    if theirs == ours and before.shape == fresh.shape:
        return np.array(before, np.float32)
    ids = ours.ids_in(theirs)
    values = np.array(fresh, np.float32)
    values[: len(ids)] = before[ids]
    return values


def _replacements(theirs: Tokenization, ours: Tokenization) -> dict[int, int]:
    """Returns, for each program that is new to a model, the one that it played instead."""
    if theirs.programs is None:
        return {}
    programs = ours.programs
    if programs is None:
        programs = tuple(map_program_numbers(np.arange(128), ours.program_map).tolist())
    replacements = {}
    for program in set(programs).difference(theirs.programs):
        low, high = instrument(program)[:2]
        # The middle half of its range, as of the notes of a song
        quarter = (high - low) // 4
        register = Register(low + quarter, high - quarter)
        replacements[program] = choose(program, register, theirs.programs)
    return replacements


def _check_config(name: str, given: ModelConfig, wanted: ModelConfig) -> None:
    for field in dataclasses.fields(ModelConfig):
        theirs: Any = getattr(given, field.name)
        ours: Any = getattr(wanted, field.name)
        may_differ = field.name in _MAY_DIFFER
        if field.name == "context_frames":
            may_differ = bool(theirs) == bool(ours)  # both with context, or both without
        if theirs != ours and not may_differ:
            hint = (
                "settings that give no sizes of Network, as configs/fine_tune.gin, use the model's"
            )
            raise CheckpointError(
                name, f"a network of {field.name} {ours!r}", f"{theirs!r} ({hint})"
            )
