"""Teachers: trained diffusion models whose guided estimates a student learns from."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.guidance import Weights, guided
from spectrodiff.diffusion.parameterization import to_x0
from spectrodiff.diffusion.sampler import Steps
from spectrodiff.diffusion.sampling import SamplingChanges
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.definition import Params, define
from spectrodiff.models.denoiser import Denoiser
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.training.examples import Examples

# Sizes that a student may have of its own.
_MAY_DIFFER = {"dropout", "estimates"}


@dataclasses.dataclass(frozen=True, eq=False)
class Teacher:
    """A trained diffusion model with the guidance and context that it is used with.

    Attributes:
        checkpoint: the model.
        dtype: type of the matrix products.
    """

    checkpoint: Checkpoint
    dtype: type = jnp.float32

    def denoiser(
        self, params: Params, examples: Examples
    ) -> Callable[[jax.Array, Steps], jax.Array]:
        """Returns the function that samplers take, for the notes and contexts of a batch.

        Args:
            params: those of the checkpoint, as arguments of the program that calls this.
            examples: a batch; encoded once.

        Returns:
            A function from z [B, F, M] and a step, whose columns are [B, 1, 1], to x0 [B, F, M] in
            [-1, 1].
        """
        model = self.checkpoint
        branches = model.sampling.guided_branches
        network = define(Denoiser, model.config, dtype=self.dtype).merge(params)
        tokens, context, context_mask = examples[:3]
        if model.sampling.mask_context and context_mask is not None:
            context_mask = jnp.zeros_like(context_mask)
        if branches.notes:
            assert context is not None
            assert context_mask is not None
            encodings = network.encode_apart(tokens, context, context_mask)
        else:
            encodings = network.encode(tokens, context, context_mask)
        decoder = network.decoder
        memory = decoder.memory(encodings)

        def denoise(z: jax.Array, step: Steps) -> jax.Array:
            films = jax.tree.map(
                lambda layers: jnp.concatenate([layers] * branches.evaluations, axis=1),
                decoder.films(step.time.reshape(-1)),
            )
            outputs = decoder(jnp.concatenate([z] * branches.evaluations), films, memory)
            output = guided(outputs, branches, self._weights(step.time))
            x0 = to_x0(model.prediction, output, z, step.alpha, step.sigma)
            return jnp.clip(x0, -1.0, 1.0)

        return denoise

    def _weights(self, time: jax.Array) -> Weights:
        """Returns the weights at times [B, 1, 1], 1 where steps are not guided."""
        sampling = self.checkpoint.sampling
        low, high = sampling.guidance_times
        inside = (time >= low) & (time <= high)
        return Weights(*(jnp.where(inside, weight, 1.0) for weight in sampling.weights))


def open_teacher(name: str | None, changes: SamplingChanges, dtype: type) -> Teacher:
    """Opens a diffusion model as a teacher.

    Args:
        name: as `spectrodiff.load` takes it.
        changes: to the guidance that it is used with.
        dtype: type of the matrix products.

    Raises:
        CheckpointError: if it cannot be read.
        ConfigError: if there is no name, the model is of another kind, or a change is invalid.
    """
    if name is None:
        raise ConfigError("Distillation.teacher", "a model that spectrodiff.load takes", "None")
    checkpoint = open_checkpoint(name)
    if checkpoint.config.kind != "diffusion":
        got = f"{name}, which is {checkpoint.config.kind}"
        raise ConfigError("Distillation.teacher", "a diffusion model", got)
    has_context = checkpoint.config.has_context
    sampling = checkpoint.sampling.but(**changes).for_network(has_context=has_context)
    return Teacher(dataclasses.replace(checkpoint, sampling=sampling), dtype)


def check_matches(
    teacher: Checkpoint, config: ModelConfig, tokenization: Tokenization, schedule: str
) -> None:
    """Checks that a student has the settings that it shares with its teacher.

    Args:
        teacher: the teacher.
        config: sizes of the student.
        tokenization: of the student.
        schedule: of the student.

    Raises:
        ConfigError: names the first setting that differs.
    """
    pairs = {"Distillation.schedule": (teacher.schedule, schedule)}
    for part, theirs, ours in (
        ("Network", teacher.config, config),
        ("Tokenization", teacher.tokenization, tokenization),
    ):
        for field in dataclasses.fields(theirs):
            if field.name not in _MAY_DIFFER:
                values = getattr(theirs, field.name), getattr(ours, field.name)
                pairs[f"{part}.{field.name}"] = values
    for name, (wanted, got) in pairs.items():
        if wanted != got:
            raise ConfigError(name, f"{wanted!r}, as of the teacher {teacher.name}", repr(got))
