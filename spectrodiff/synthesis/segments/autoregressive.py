"""Features of a batch of segments, written frame after frame by the autoregressive baseline."""

import functools
from collections.abc import Callable, Iterator

import jax
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from spectrodiff.audio.features import scale
from spectrodiff.core.parallel import BATCH, LAYERED_BATCH, WHOLE
from spectrodiff.models.autoregressive import DITHER, Writing, begin, definition, write_frames
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.layers import KeyValue
from spectrodiff.synthesis.segments.diffusion import Params, SegmentBatch

# A piece of a segment is one call to the device; between two the host can show progress.
FRAMES_PER_PIECE = 32


class AutoregressiveGenerator:
    """Writes features for batches of segments; what sounded before them plays no part.

    Args:
        config: sizes of the network.
        params: its parameters, on the devices of `mesh`.
        dtype: type of the matrix products.
        mesh: devices with one axis `data`, over which a batch is split.
        dither: deviation of the noise in the frames that are fed back.
    """

    def __init__(
        self,
        config: ModelConfig,
        params: Params,
        *,
        dtype: type,
        mesh: Mesh,
        dither: float = DITHER,
    ) -> None:
        self.config, self.steps = config, config.target_frames
        self._params = jax.device_put(params, NamedSharding(mesh, WHOLE))
        self._mesh, self._dtype = mesh, dtype
        self._encode, self._advance = _compile(definition(config, dtype), mesh, dither)

    def __call__(
        self, batch: SegmentBatch, on_steps: Callable[[int], None] | None = None
    ) -> jax.Array:
        """Scaled features [B, F, M] in [-1, 1].

        Args:
            batch: B is a multiple of the number of devices; the context is not looked at.
            on_steps: called with a number of finished frames, now and then.
        """
        split = NamedSharding(self._mesh, BATCH)
        tokens, keys = jax.device_put((batch.tokens, batch.keys), split)
        cross = self._encode(self._params, tokens)
        writing = begin(self.config, len(tokens), self._dtype)
        for first in range(0, self.steps, FRAMES_PER_PIECE):
            last = min(first + FRAMES_PER_PIECE, self.steps)
            writing = self._advance(self._params, writing, cross, keys, first, last)
            if on_steps is not None:
                # Waiting here keeps the host from queueing all pieces, so that it can be stopped.
                jax.block_until_ready(writing)
                on_steps(last - first)
        return scale(writing.frames)

    def try_steps(self, batch: SegmentBatch) -> Iterator[None]:
        """Writes one frame after another without an end; the first compiles what is needed."""
        split = NamedSharding(self._mesh, BATCH)
        tokens, keys = jax.device_put((batch.tokens, batch.keys), split)
        cross = self._encode(self._params, tokens)
        writing = begin(self.config, len(tokens), self._dtype)
        while True:
            writing = jax.block_until_ready(self._advance(self._params, writing, cross, keys, 0, 1))
            yield

    @property
    def num_devices(self) -> int:
        """How many devices share a batch."""
        return self._mesh.size


@functools.lru_cache(maxsize=8)
def _compile(
    definition: nnx.GraphDef, mesh: Mesh, dither: float
) -> tuple[Callable[..., KeyValue], Callable[..., Writing]]:
    """The two functions that run on the devices, each compiled once per shape of its arguments."""

    def encode(params: Params, tokens: jax.Array) -> KeyValue:
        model = nnx.merge(definition, params)
        return model.decoder.memory(model.note_encoder(tokens))

    def advance(
        params: Params,
        writing: Writing,
        cross: KeyValue,
        keys: jax.Array,
        first: jax.Array,
        last: jax.Array,
    ) -> Writing:
        decoder = nnx.merge(definition, params).decoder
        return write_frames(decoder, writing, cross, keys, first=first, last=last, dither=dither)

    if mesh.size > 1:
        # Each device writes its own examples, and never has to wait for another.
        state = Writing._make((BATCH, LAYERED_BATCH))
        encode = jax.shard_map(encode, mesh=mesh, in_specs=(WHOLE, BATCH), out_specs=LAYERED_BATCH)
        advance = jax.shard_map(
            advance,
            mesh=mesh,
            in_specs=(WHOLE, state, LAYERED_BATCH, BATCH, WHOLE, WHOLE),
            out_specs=state,
        )
    return jax.jit(encode), jax.jit(advance, donate_argnums=1)
