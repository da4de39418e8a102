"""Features of a batch of segments, by diffusion.

What depends on the sampler alone (the schedule's numbers, FiLM) is worked out once per sampler,
what depends on the segment alone (encodings, cross-attention keys and values) once per segment.
With guidance, the unconditional half of the batch skips the cross-attention, which would add
exactly zero.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from spectrodiff.core.parallel import BATCH, LAYERED_BATCH, WHOLE
from spectrodiff.diffusion.guidance import guide
from spectrodiff.diffusion.parameterization import Prediction, to_x0
from spectrodiff.diffusion.sampler import Carry, Sampler, Steps, run, start
from spectrodiff.diffusion.schedule import Schedule
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.denoiser import Films, Memory, definition

Params = dict[str, Any]

# A piece of a run is one call to the device; between two the host can show progress or be stopped.
STEPS_PER_PIECE = 20


class SegmentBatch(NamedTuple):
    """What a batch of segments is conditioned on."""

    tokens: np.ndarray  # int32 [B, n]
    context: jax.Array  # scaled features [B, C, M]
    context_mask: np.ndarray  # bool [B, C]
    keys: jax.Array  # one random key per segment, [B]


class PreparedBatch(NamedTuple):
    """What the denoiser needs to know about a batch of segments."""

    memory: Memory
    keys: jax.Array  # one random key per segment, [B]


class DiffusionGenerator:
    """Draws features for batches of segments.

    Args:
        config: sizes of the network.
        params: its parameters, on the devices of `mesh`.
        schedule: noise schedule the network was trained with.
        prediction: what its output stands for.
        sampler: which steps to take.
        guidance: guidance weight w; 1 evaluates the conditional branch only.
        dtype: type of the matrix products.
        mesh: devices with one axis `data`, over which a batch is split.
    """

    def __init__(
        self,
        config: ModelConfig,
        params: Params,
        *,
        schedule: Schedule,
        prediction: Prediction,
        sampler: Sampler,
        guidance: float,
        dtype: type,
        mesh: Mesh,
    ) -> None:
        self.config, self.steps = config, sampler.steps
        params = jax.device_put(params, NamedSharding(mesh, WHOLE))
        self._params, self._mesh = params, mesh
        self._table = jax.device_put(sampler.table(schedule), NamedSharding(mesh, WHOLE))
        self._films = _films(definition(config, dtype), params, self._table.time)
        self._encode, self._advance = _compile(
            definition(config, dtype), prediction, guidance != 1.0, sampler.stochastic, mesh
        )
        self._guidance = jnp.float32(guidance)

    def __call__(
        self, batch: SegmentBatch, on_steps: Callable[[int], None] | None = None
    ) -> jax.Array:
        """Scaled features [B, F, M] in [-1, 1].

        Args:
            batch: B is a multiple of the number of devices.
            on_steps: called with a number of finished steps, now and then.
        """
        return self.draw(self.prepare(batch), on_steps)

    def prepare(self, batch: SegmentBatch) -> PreparedBatch:
        """Encodes what the segments are conditioned on: all work that is done once a segment."""
        split = NamedSharding(self._mesh, BATCH)
        batch = SegmentBatch(*(jax.device_put(array, split) for array in batch))
        return PreparedBatch(self._encode(self._params, *batch[:3]), batch.keys)

    def draw(
        self, batch: PreparedBatch, on_steps: Callable[[int], None] | None = None
    ) -> jax.Array:
        """Takes the sampler's steps; see `__call__`."""
        carry = self._begin(batch)
        for first in range(0, self.steps, STEPS_PER_PIECE):
            last = min(first + STEPS_PER_PIECE, self.steps)
            carry = self._take_steps(batch, carry, first, last)
            if on_steps is not None:
                # Waiting here keeps the host from queueing all pieces, so that it can be stopped.
                jax.block_until_ready(carry)
                on_steps(last - first)
        return carry.z

    def try_steps(self, batch: SegmentBatch) -> Iterator[None]:
        """Takes one step after another without an end; the first compiles what is needed."""
        prepared = self.prepare(batch)
        carry = self._begin(prepared)
        while True:
            carry = jax.block_until_ready(self._take_steps(prepared, carry, 0, 1))
            yield

    @property
    def num_devices(self) -> int:
        """How many devices share a batch."""
        return self._mesh.size

    def _begin(self, batch: PreparedBatch) -> Carry:
        return _first_carry(batch.keys, self.config.target_frames, self.config.mel_bins)

    def _take_steps(self, batch: PreparedBatch, carry: Carry, first: int, last: int) -> Carry:
        return self._advance(
            self._params,
            carry,
            batch.memory,
            batch.keys,
            self._table,
            self._films,
            self._guidance,
            first,
            last,
        )


@functools.partial(jax.jit, static_argnums=0)
def _films(definition: nnx.GraphDef, params: Params, times: jax.Array) -> Films:
    """FiLM of every step, [steps, L, 1, 2 D]."""
    films = nnx.merge(definition, params).decoder.films(times)  # [L, steps, 2 D]
    return jax.tree.map(lambda layers: layers.swapaxes(0, 1)[:, :, None], films)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _first_carry(keys: jax.Array, frames: int, mels: int) -> Carry:
    return start(_noise(keys, 0, frames, mels))


def _noise(keys: jax.Array, number: int | jax.Array, frames: int, mels: int) -> jax.Array:
    """Unit noise [B, F, M]; the example with a given key gets the same in any batch."""

    def draw(key: jax.Array) -> jax.Array:
        return jax.random.normal(jax.random.fold_in(key, number), (frames, mels))

    return jax.vmap(draw)(keys)


@functools.lru_cache(maxsize=32)
def _compile(
    definition: nnx.GraphDef, prediction: Prediction, guided: bool, stochastic: bool, mesh: Mesh
) -> tuple[Callable[..., Memory], Callable[..., Carry]]:
    """The two functions that run on the devices, each compiled once per shape of its arguments."""

    def encode(
        params: Params, tokens: jax.Array, context: jax.Array, context_mask: jax.Array
    ) -> Memory:
        model = nnx.merge(definition, params)
        return model.decoder.memory(model.encode(tokens, context, context_mask))

    def advance(
        params: Params,
        carry: Carry,
        memory: Memory,
        keys: jax.Array,
        table: Steps,
        films: Films,
        guidance: jax.Array,
        first: jax.Array,
        last: jax.Array,
    ) -> Carry:
        decoder = nnx.merge(definition, params).decoder

        def denoise(z: jax.Array, time: tuple[Steps, Films]) -> jax.Array:
            row, films = time
            if guided:
                both = decoder(jnp.concatenate([z, z]), films, memory)
                output = guide(both[: len(z)], both[len(z) :], guidance)
            else:
                output = decoder(z, films, memory)
            return jnp.clip(to_x0(prediction, output, z, row.alpha, row.sigma), -1.0, 1.0)

        def noise(number: jax.Array) -> jax.Array:
            return _noise(keys, number + 1, *carry.z.shape[1:])  # 0 is the noise it starts from

        return run(
            denoise,
            carry,
            table,
            times=(table, films),
            noise=noise if stochastic else None,
            first=first,
            last=last,
        )

    if mesh.size > 1:
        # Each device works on its own examples; joining the two guidance branches along the batch
        # axis would otherwise move half of them between devices.
        encode = jax.shard_map(
            encode, mesh=mesh, in_specs=(WHOLE, BATCH, BATCH, BATCH), out_specs=LAYERED_BATCH
        )
        advance = jax.shard_map(
            advance,
            mesh=mesh,
            in_specs=(WHOLE, BATCH, LAYERED_BATCH, BATCH, WHOLE, WHOLE, WHOLE, WHOLE, WHOLE),
            out_specs=BATCH,
        )
    return jax.jit(encode), jax.jit(advance, donate_argnums=1)
