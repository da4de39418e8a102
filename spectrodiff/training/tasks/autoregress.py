"""Training the paper's autoregressive baseline: every frame from the true frames before it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from spectrodiff.models.autoregressive import definition, init_params, loss
from spectrodiff.models.config import ModelConfig
from spectrodiff.synthesis.segments.autoregressive import AutoregressiveGenerator
from spectrodiff.synthesis.songs import SegmentGenerator
from spectrodiff.training.examples import Segment
from spectrodiff.training.task import Params, Played, Scores
from spectrodiff.training.tasks.previews import play_segments


@dataclasses.dataclass(frozen=True)
class AutoregressiveObjective:
    """Squared error of the next frame; nothing but dropout is random."""

    config: ModelConfig
    dtype: Any = jnp.float32
    remat: bool = False

    def init_params(self, seed: int) -> Params:
        """Parameters before any training."""
        return init_params(self.config, seed)

    def loss(self, params: Params, segment: Segment, key: jax.Array) -> jax.Array:
        """Mean loss with dropout."""
        return self._each(params, segment.tokens, segment, key).mean()

    def scores(self, params: Params, segment: Segment, keys: jax.Array) -> Scores:
        """The loss without dropout; the keys are not needed."""
        del keys
        return {"loss": self._each(params, segment.tokens, segment)}

    def gap(
        self, params: Params, segment: Segment, other_tokens: jax.Array, keys: jax.Array
    ) -> Scores:
        """The loss with another example's notes, less that with its own."""
        del keys
        own = self._each(params, segment.tokens, segment)
        return {"notes_gap": self._each(params, other_tokens, segment) - own}

    def generator(self, params: Params, mesh: Mesh) -> SegmentGenerator:
        """Draws segments frame after frame."""
        return AutoregressiveGenerator(self.config, params, dtype=self.dtype, mesh=mesh)

    def play(self, params: Params, segment: Segment, keys: jax.Array, mesh: Mesh) -> Played:
        """Plays segments."""
        return play_segments(self.generator(params, mesh), segment, keys)

    def _each(
        self, params: Params, tokens: jax.Array, segment: Segment, key: jax.Array | None = None
    ) -> jax.Array:
        model = nnx.merge(definition(self.config, self.dtype, self.remat), params)
        return loss(model, tokens, segment.log_mel, key=key)
