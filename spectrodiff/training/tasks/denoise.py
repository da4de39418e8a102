"""Training of a denoiser as in the paper (section 3); other values of `Diffusion` are ablations."""

import dataclasses
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.audio.features import scale
from spectrodiff.checkpoints.model import Description, as_json
from spectrodiff.core.config import check_types, require
from spectrodiff.diffusion.loss import DenoisingLoss, LossNorm, LossTarget
from spectrodiff.diffusion.parameterization import Prediction, estimates, to_x0
from spectrodiff.diffusion.schedule import alpha_sigma, make_schedule
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.definition import define, init_params
from spectrodiff.models.denoiser import Denoiser
from spectrodiff.models.initialization import align_attention
from spectrodiff.training.examples import Examples
from spectrodiff.training.settings import Initialization
from spectrodiff.training.task import Params, RunSettings, Scores, TaskSettings
from spectrodiff.training.tasks.shared import DiffusionTask

# Time of the notes gap: hardly any signal is left, so only the notes tell what x0 is.
GAP_TIME = 0.99


@dataclasses.dataclass(frozen=True)
class Diffusion(TaskSettings):
    """Settings of denoising; the defaults are the paper's."""

    prediction: Prediction = "eps"
    schedule: str = "cosine"  # a name that `diffusion.schedule.make_schedule` takes
    loss_target: LossTarget = "eps"
    loss_norm: LossNorm = "l1"
    # Probability of hiding notes and context together, for the unconditional branch of guidance.
    drop_conditioning: float = 0.1
    # Probability of hiding the context alone, as at the start of every song.
    drop_context: float = 0.0
    # Maximum standard deviation of the noise and of the offset added to the context, in scaled
    # features [-1, 1]. Generated context is less accurate than the true context of training.
    disturb_context: float = 0.0
    # Standard deviation of the offset relative to that of the noise. 0 if notes have velocities: a
    # model whose context has the right level can rely on it.
    disturb_context_level: float = 1.0
    # Exponent p of t = u ** p with u uniform; below 1, high noise is trained more often.
    time_power: float = 1.0
    # Number n of times i / n, i = 0..n-1, that are trained; None for all times in [0, 1).
    discrete_times: int | None = None
    # Number of times t, on a fixed grid, that the evaluation loss is a mean over.
    evaluation_times: int = 8

    def __post_init__(self) -> None:
        check_types(self)
        DenoisingLoss(self.loss_target, self.loss_norm)
        make_schedule(self.schedule)
        for name in ("drop_conditioning", "drop_context"):
            rate = getattr(self, name)
            require(0 <= rate < 1, f"Diffusion.{name}", "a probability in [0, 1)", rate)
        for name in ("disturb_context", "disturb_context_level"):
            value = getattr(self, name)
            require(value >= 0, f"Diffusion.{name}", "a number >= 0", value)
        power, times = self.time_power, self.evaluation_times
        require(power > 0, "Diffusion.time_power", "a number > 0", power)
        require(times >= 1, "Diffusion.evaluation_times", "a whole number >= 1", times)
        count = self.discrete_times
        require(count is None or count >= 1, "Diffusion.discrete_times", "a number >= 1", count)

    def description(self, run: RunSettings) -> dict[str, Any]:
        """Returns the description of the network, as JSON."""
        config = self._config(run)
        settings = self.prediction, self.schedule, run.tokenization, run.sampling
        return as_json(Description(config, *settings))

    def make(self, run: RunSettings) -> "Denoise":
        """Makes the task with the network, precision and tokenization of a run."""
        config = self._config(run)
        if run.network.initialization == "aligned":
            expected = "'random_phase' for an aligned initialization"
            known = config.positions == "random_phase"
            require(known, "Network.positions", expected, config.positions)
        return Denoise(
            config=config,
            dtype=run.training.dtype,
            remat=run.training.remat,
            tokenization=run.tokenization,
            settings=self,
            initialization=run.network.initialization,
            sampling=run.sampling,
        )

    def _config(self, run: RunSettings) -> ModelConfig:
        config = run.network.config(run.tokenization)
        return dataclasses.replace(config, estimates=estimates(self.prediction))


class Conditions(NamedTuple):
    """Settings of `Diffusion` that may change during a run: numbers or traced scalars."""

    time_power: float | jax.Array
    drop_conditioning: float | jax.Array
    drop_context: float | jax.Array
    disturb_context: float | jax.Array
    disturb_context_level: float | jax.Array

    @classmethod
    def of(cls, settings: Diffusion) -> Self:
        """Returns the conditions in some settings."""
        return cls(*(float(getattr(settings, name)) for name in cls._fields))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Denoise(DiffusionTask):
    """Denoising at random times.

    Attributes:
        settings: loss and conditions.
        initialization: "t5", or "aligned" (see `models.initialization`).
    """

    settings: Diffusion = Diffusion()
    initialization: Initialization = "t5"

    def init_params(self, seed: int) -> Params:
        """Returns random parameters."""
        params = init_params(Denoiser, self.config, seed)
        aligned = self.initialization == "aligned"
        return align_attention(params, self.config.heads) if aligned else params

    def loss(self, params: Params, examples: Examples, key: jax.Array) -> Scores:
        """Returns the mean loss at one random time per example, with dropout and hiding."""
        return self.loss_under(params, examples, key, Conditions.of(self.settings))

    def loss_under(
        self, params: Params, examples: Examples, key: jax.Array, conditions: Conditions
    ) -> Scores:
        """Returns the loss under conditions that may differ between steps of one program."""
        hide_key, time_key, noise_key, dropout_key = jax.random.split(key, 4)
        if not isinstance(conditions.disturb_context, float) or conditions.disturb_context > 0:
            disturb_key, hide_key = jax.random.split(hide_key)
            examples = disturb(
                examples,
                conditions.disturb_context,
                disturb_key,
                conditions.disturb_context_level,
            )
        examples = hide(examples, conditions, hide_key)
        x0 = scale(examples.log_mel)
        time = jax.random.uniform(time_key, x0.shape[:1]) ** conditions.time_power
        if count := self.settings.discrete_times:
            time = jnp.floor(time * count) / count
        eps = jax.random.normal(noise_key, x0.shape)
        return {"loss": self._denoise(params, examples, x0, eps, time, dropout_key)[0].mean()}

    def scores(self, params: Params, examples: Examples, keys: jax.Array) -> Scores:
        """Returns the loss at each of a fixed grid of times, and their mean."""
        x0 = scale(examples.log_mel)

        def at(index: jax.Array, time: jax.Array) -> jax.Array:
            eps = example_noise(keys, index, x0.shape[1:])
            return self._denoise(params, examples, x0, eps, jnp.full(x0.shape[:1], time))[0]

        # One time after another: all at once would multiply the memory by their number.
        times = time_grid(self.settings.evaluation_times)
        losses = jax.lax.map(lambda row: at(*row), (jnp.arange(len(times)), jnp.asarray(times)))
        by_time = {f"loss_t{time:.3f}": losses[index] for index, time in enumerate(times)}
        return {"loss": losses.mean(axis=0)} | by_time

    def notes_gap(
        self, params: Params, examples: Examples, other_tokens: jax.Array, keys: jax.Array
    ) -> Scores:
        """Returns the mean absolute error of x0 at `GAP_TIME`, with own and with other notes."""
        x0 = scale(examples.log_mel)
        time = jnp.full(x0.shape[:1], GAP_TIME)
        eps = example_noise(keys, 0, x0.shape[1:])

        def error(tokens: jax.Array) -> jax.Array:
            with_tokens = examples._replace(tokens=tokens)
            x0_hat = self._denoise(params, with_tokens, x0, eps, time)[1]
            return jnp.abs(x0_hat - x0).mean(axis=(1, 2))

        own, other = error(examples.tokens), error(other_tokens)
        return {"x0_error_own_notes": own, "x0_error_other_notes": other, "notes_gap": other - own}

    def _denoise(
        self,
        params: Params,
        examples: Examples,
        x0: jax.Array,
        eps: jax.Array,
        time: jax.Array,
        dropout_key: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Returns the loss [B] and the estimate of x0 [B, F, M] at times [B]."""
        schedule = make_schedule(self.settings.schedule)
        alpha, sigma = alpha_sigma(schedule.logsnr(time)[:, None, None])
        z = alpha * x0 + sigma * eps
        network = define(Denoiser, self.config, dtype=self.dtype, remat=self.remat)
        output = network.merge(params)(
            examples.tokens, examples.context, examples.context_mask, z, time, key=dropout_key
        )
        prediction = self.settings.prediction
        distance = DenoisingLoss(self.settings.loss_target, self.settings.loss_norm)
        loss = distance(prediction, output, x0, eps, alpha, sigma)
        return loss, to_x0(prediction, output, z, alpha, sigma)


def disturb(
    examples: Examples,
    maximum: float | jax.Array,
    key: jax.Array,
    level: float | jax.Array = 1.0,
) -> Examples:
    """Adds noise and an offset to each context, scaled by a random deviation per example.

    This is the conditioning augmentation of cascaded diffusion (Ho et al. 2021, section 4): a model
    that is trained on imperfect context accumulates fewer errors from segment to segment.

    Args:
        examples: a batch.
        maximum: of the standard deviation, which is uniform from 0; in scaled features.
        key: consumed.
        level: standard deviation of the offset relative to that of the noise.
    """
    if examples.context is None or examples.context_mask is None:
        return examples
    context = examples.context
    deviation_key, offset_key, noise_key = jax.random.split(key, 3)
    each = (len(context), 1, 1)
    deviation = maximum * jax.random.uniform(deviation_key, each)
    offset = jax.random.normal(offset_key, each)
    noise = jax.random.normal(noise_key, context.shape)
    disturbed = jnp.clip(context + deviation * (level * offset + noise), -1.0, 1.0)
    valid = examples.context_mask[..., None]
    return examples._replace(context=jnp.where(valid, disturbed, context))


def hide(examples: Examples, settings: Diffusion | Conditions, key: jax.Array) -> Examples:
    """Hides the conditioning of random examples: notes and context, or the context alone."""
    all_key, context_key = jax.random.split(key)
    count = examples.tokens.shape[:1]
    hidden = jax.random.bernoulli(all_key, settings.drop_conditioning, count)
    examples = examples._replace(tokens=jnp.where(hidden[:, None], 0, examples.tokens))
    if examples.context is None or examples.context_mask is None:
        return examples
    hidden |= jax.random.bernoulli(context_key, settings.drop_context, count)
    return examples._replace(
        context=jnp.where(hidden[:, None, None], 0.0, examples.context),
        context_mask=examples.context_mask & ~hidden[:, None],
    )


def time_grid(count: int) -> np.ndarray:
    """Returns the midpoints of `count` equal parts of [0, 1], float32."""
    return ((np.arange(count) + 0.5) / count).astype(np.float32)


def example_noise(keys: jax.Array, number: int | jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Returns unit noise [B, *shape]; each example's noise depends on its own key alone."""
    return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, number), shape))(keys)
