"""Training a denoiser, as in the paper; the other choices in `Diffusion` are its ablations."""

import dataclasses
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from spectrodiff.audio.features import scale
from spectrodiff.diffusion.loss import DenoisingLoss
from spectrodiff.diffusion.parameterization import to_x0
from spectrodiff.diffusion.sampling import PAPER_SAMPLING, Sampling
from spectrodiff.diffusion.schedule import alpha_sigma, make_schedule
from spectrodiff.models.alignment import align
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.denoiser import definition, init_params
from spectrodiff.synthesis.segments.diffusion import DiffusionGenerator
from spectrodiff.synthesis.songs import SegmentGenerator
from spectrodiff.training.examples import Segment
from spectrodiff.training.settings import Diffusion, Initialization
from spectrodiff.training.task import Played
from spectrodiff.training.tasks.previews import play_segments

Params = dict[str, Any]
Scores = dict[str, jax.Array]

# Where notes decide everything: hardly any signal is left, so x0 can only be told from the notes.
GAP_TIME = 0.99


class Conditions(NamedTuple):
    """Settings of `Diffusion` that decide what an example is like; numbers or traced scalars."""

    time_power: float | jax.Array
    drop_conditioning: float | jax.Array
    drop_context: float | jax.Array
    disturb_context: float | jax.Array
    disturb_context_level: float | jax.Array

    @classmethod
    def of(cls, settings: Diffusion) -> Self:
        """Those of some settings."""
        return cls(*(float(getattr(settings, name)) for name in cls._fields))


@dataclasses.dataclass(frozen=True)
class DiffusionObjective:
    """Denoising at random times."""

    config: ModelConfig
    settings: Diffusion
    dtype: Any = jnp.float32
    remat: bool = False
    initialization: Initialization = "t5"
    sampling: Sampling = PAPER_SAMPLING

    def init_params(self, seed: int) -> Params:
        """Parameters before any training."""
        params = init_params(self.config, seed)
        return align(params, self.config.heads) if self.initialization == "aligned" else params

    def loss(self, params: Params, segment: Segment, key: jax.Array) -> jax.Array:
        """Mean loss at one random time per example, with dropout and hidden conditioning."""
        return self.loss_under(params, segment, key, Conditions.of(self.settings))

    def loss_under(
        self, params: Params, segment: Segment, key: jax.Array, conditions: Conditions
    ) -> jax.Array:
        """The same under conditions that may differ from step to step of one program."""
        hide_key, time_key, noise_key, dropout_key = jax.random.split(key, 4)
        if not isinstance(conditions.disturb_context, float) or conditions.disturb_context > 0:
            disturb_key, hide_key = jax.random.split(hide_key)
            segment = disturb(
                segment,
                conditions.disturb_context,
                disturb_key,
                conditions.disturb_context_level,
            )
        segment = hide(segment, conditions, hide_key)
        x0 = scale(segment.log_mel)
        time = jax.random.uniform(time_key, x0.shape[:1]) ** conditions.time_power
        eps = jax.random.normal(noise_key, x0.shape)
        return self._denoise(params, segment, x0, eps, time, dropout_key)[0].mean()

    def scores(self, params: Params, segment: Segment, keys: jax.Array) -> Scores:
        """The loss on a fixed grid of times, at each of them and on average."""
        x0 = scale(segment.log_mel)

        def at(index: jax.Array, time: jax.Array) -> jax.Array:
            eps = example_noise(keys, index, x0.shape[1:])
            return self._denoise(params, segment, x0, eps, jnp.full(x0.shape[:1], time))[0]

        # One time after another: all at once would need so many times the memory.
        times = time_grid(self.settings.evaluation_times)
        losses = jax.lax.map(lambda row: at(*row), (jnp.arange(len(times)), jnp.asarray(times)))
        by_time = {f"loss_t{time:.3f}": losses[index] for index, time in enumerate(times)}
        return {"loss": losses.mean(axis=0)} | by_time

    def gap(
        self, params: Params, segment: Segment, other_tokens: jax.Array, keys: jax.Array
    ) -> Scores:
        """Mean absolute error of x0 where almost all is noise, with own and with other notes."""
        x0 = scale(segment.log_mel)
        time = jnp.full(x0.shape[:1], GAP_TIME)
        eps = example_noise(keys, 0, x0.shape[1:])

        def error(tokens: jax.Array) -> jax.Array:
            with_tokens = segment._replace(tokens=tokens)
            x0_hat = self._denoise(params, with_tokens, x0, eps, time)[1]
            return jnp.abs(x0_hat - x0).mean(axis=(1, 2))

        own, other = error(segment.tokens), error(other_tokens)
        return {"x0_error_own_notes": own, "x0_error_other_notes": other, "notes_gap": other - own}

    def generator(self, params: Params, mesh: Mesh) -> SegmentGenerator:
        """Draws segments as the trained model will."""
        return DiffusionGenerator(
            self.config,
            params,
            schedule=make_schedule(self.settings.schedule),
            prediction=self.settings.prediction,
            sampler=self.sampling.solver(),
            guidance=self.sampling.guidance,
            dtype=self.dtype,
            mesh=mesh,
        )

    def play(self, params: Params, segment: Segment, keys: jax.Array, mesh: Mesh) -> Played:
        """Plays segments as the trained model will."""
        return play_segments(self.generator(params, mesh), segment, keys)

    def _denoise(
        self,
        params: Params,
        segment: Segment,
        x0: jax.Array,
        eps: jax.Array,
        time: jax.Array,
        dropout_key: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Loss [B] and estimate of x0 [B, F, M] at times [B]."""
        schedule = make_schedule(self.settings.schedule)
        alpha, sigma = alpha_sigma(schedule.logsnr(time)[:, None, None])
        z = alpha * x0 + sigma * eps
        network = nnx.merge(definition(self.config, self.dtype, self.remat), params)
        output = network(
            segment.tokens, segment.context, segment.context_mask, z, time, key=dropout_key
        )
        prediction = self.settings.prediction
        distance = DenoisingLoss(self.settings.loss_target, self.settings.loss_norm)
        loss = distance(prediction, output, x0, eps, alpha, sigma)
        return loss, to_x0(prediction, output, z, alpha, sigma)


def disturb(
    segment: Segment,
    largest: float | jax.Array,
    key: jax.Array,
    level: float | jax.Array = 1.0,
) -> Segment:
    """Adds noise and one offset to each example's context, both of a standard deviation of its own.

    Conditioning augmentation as in cascaded diffusion (Ho et al. 2021, section 4): a model that has
    seen imperfect conditioning does not add to the errors of what it has generated itself.

    Args:
        segment: a batch.
        largest: the largest standard deviation of the noise, in units of scaled features.
        key: consumed.
        level: standard deviation of the offset relative to that of the noise.
    """
    if segment.context is None or segment.context_mask is None:
        return segment
    context = segment.context
    deviation_key, offset_key, noise_key = jax.random.split(key, 3)
    each = (len(context), 1, 1)
    deviation = largest * jax.random.uniform(deviation_key, each)
    offset = jax.random.normal(offset_key, each)
    noise = jax.random.normal(noise_key, context.shape)
    disturbed = jnp.clip(context + deviation * (level * offset + noise), -1.0, 1.0)
    return segment._replace(context=jnp.where(segment.context_mask[..., None], disturbed, context))


def hide(segment: Segment, settings: Diffusion | Conditions, key: jax.Array) -> Segment:
    """Hides some examples' conditioning: notes and context together, or the context alone."""
    all_key, context_key = jax.random.split(key)
    examples = segment.tokens.shape[:1]
    hidden = jax.random.bernoulli(all_key, settings.drop_conditioning, examples)
    segment = segment._replace(tokens=jnp.where(hidden[:, None], 0, segment.tokens))
    if segment.context is None or segment.context_mask is None:
        return segment
    hidden |= jax.random.bernoulli(context_key, settings.drop_context, examples)
    return segment._replace(
        context=jnp.where(hidden[:, None, None], 0.0, segment.context),
        context_mask=segment.context_mask & ~hidden[:, None],
    )


def time_grid(count: int) -> np.ndarray:
    """Midpoints of `count` equal parts of [0, 1], so that their mean stands for uniform times."""
    return ((np.arange(count) + 0.5) / count).astype(np.float32)


def example_noise(keys: jax.Array, number: int | jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Unit noise [B, *shape]; each example's own key decides its own, whatever stands beside it."""
    return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, number), shape))(keys)
